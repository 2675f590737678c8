"""Advisory locks: claimed, released, lost with their connection, and taken back when no other process has them."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from stream.errors import PostgresUnavailable
from stream.postgres.lock import LockSpace


class Server:
    """Advisory locks of a Postgres, by connection."""

    def __init__(self) -> None:
        self.locks: dict[tuple[int, int], Session] = {}
        self.up = True

    def holding(self) -> Session:
        if not self.up:
            raise PostgresUnavailable("cannot connect to Postgres")
        return Session(self)

    def kill(self) -> None:
        for session in {*self.locks.values()}:
            session.closed = True
        self.locks.clear()


class Session:
    """A connection that may hold locks."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.closed = False
        self._answer: tuple[bool] | None = None

    def execute(self, query: str, values: tuple[int, int] = (0, 0)) -> Any:
        if self.closed:
            raise psycopg.OperationalError("terminating connection")
        if "try" in query:
            holder = self._server.locks.setdefault(values, self)
            self._answer = (holder is self,)
        elif "unlock" in query:
            self._server.locks.pop(values, None)
        return self

    def fetchone(self) -> tuple[bool] | None:
        return self._answer

    def close(self) -> None:
        self.closed = True
        self._server.locks = {k: s for k, s in self._server.locks.items() if s is not self}


def space(server: Any, name: str = "replay r1") -> LockSpace:
    return LockSpace(server, name, what="locks of the replay")


def test_one_process_has_a_lock_until_it_lets_go() -> None:
    server = Server()
    with space(server) as one, space(server) as other:
        assert one.claim(1)
        assert one.claim(1)  # it has it already
        assert not other.claim(1)
        assert other.claim(2)
        one.release(1)
        assert other.claim(1)
    assert server.locks == {}


def test_locks_of_another_name_are_others() -> None:
    server = Server()
    with space(server) as one, space(server, "replay r2") as other:
        assert one.claim(1)
        assert other.claim(1)


def test_a_broken_connection_loses_locks_and_takes_back_what_is_free() -> None:
    # given two locks, and a connection that the server ends
    server = Server()
    one, other = space(server), space(server)
    assert one.claim(1)
    assert one.claim(2)
    server.kill()
    assert other.claim(2)  # another process was quicker
    # when the holder looks
    lost = one.check()
    # then it has lost one, and holds the other again
    assert (lost, one.held) == ({2}, {1})


def test_nobody_to_ask_is_an_error_that_names_the_locks() -> None:
    server = Server()
    one = space(server)
    assert one.claim(1)
    server.kill()
    server.up = False
    with pytest.raises(PostgresUnavailable):
        one.claim(2)
    assert one.held == set()
