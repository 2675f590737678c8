"""Signals: one process of a connector drives, and what keeps a signal from the connector is named with the way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stream.backfill.signals import Signals
from stream.errors import PostgresUnavailable, UsageError


class Server:
    """Locks and catalogs of one Postgres, for several processes."""

    def __init__(self) -> None:
        self.locks: dict[Any, Session] = {}
        self.table, self.may, self.published = "app.scorestream_signal", True, ["scorestream_signal"]
        self.of_slot: str | None = "scores"
        self.up = True

    def restart(self) -> None:
        for session in self.locks.values():
            session.closed = True
        self.locks.clear()


class Session:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._rows: list[tuple[Any, ...]] = []
        self.closed = False

    def execute(self, query: Any, values: Any = None) -> Session:
        server = self._server
        if "pg_try_advisory_lock" in query:
            self._rows = [(server.locks.setdefault(tuple(values), self) is self,)]
        elif "current_database" in query:
            self._rows = [("scores", server.of_slot)]
        elif "to_regclass" in query:
            self._rows = [(server.table,)]
        elif "has_table_privilege" in query:
            self._rows = [(server.may, "reader")]
        elif "pg_publication_tables" in query:
            self._rows = [(table,) for table in server.published]
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)

    def close(self) -> None:
        self.closed = True
        self._server.locks = {key: session for key, session in self._server.locks.items() if session is not self}


class Store:
    """As stream/postgres/connection.py, for one process."""

    schema, slot = "app", "scorestream"

    def __init__(self, server: Server) -> None:
        self._server = server

    def holding(self) -> Session:
        if not self._server.up:
            raise PostgresUnavailable("away")
        return Session(self._server)

    @contextmanager
    def asking(self, what: str) -> Iterator[Session]:
        yield Session(self._server)


def process(server: Server, connector: str = "scorestream") -> Signals:
    store: Any = Store(server)
    return Signals(store, connector=connector, publication="scorestream")


def test_one_process_of_a_connector_drives() -> None:
    # given a process that drives
    server = Server()
    first, second, other = process(server), process(server), process(server, "another")
    assert first.lock()
    # when another one wants to, then it may not, but for another connector's
    assert not second.lock()
    assert other.lock()
    # and it may when the first has ended
    first.close()
    assert second.lock()


def test_a_lock_that_was_lost_with_its_connection_is_taken_back_unless_another_process_has_it() -> None:
    server = Server()
    first, second = process(server), process(server)
    first.lock()
    server.restart()
    assert first.holds()
    server.restart()
    assert second.lock()
    assert not first.holds()


def test_while_postgres_is_away_it_is_not_known_who_drives() -> None:
    server = Server()
    own = process(server)
    own.lock()
    server.restart()
    server.up = False
    with pytest.raises(PostgresUnavailable):
        own.holds()
    server.up = True
    assert own.holds()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"table": None}, "run connectors/source/0002_cdc.sql"),
        ({"may": False}, "GRANT SELECT, INSERT ON app.scorestream_signal TO reader"),
        ({"published": ["scores"]}, "ALTER PUBLICATION scorestream ADD TABLE app.scorestream_signal"),
        ({"of_slot": "other"}, "slot scorestream is in database other"),
        ({"of_slot": None}, "slot scorestream is in another server"),
    ],
)
def test_what_keeps_a_signal_from_the_connector_is_told(fault: dict[str, Any], says: str) -> None:
    server = Server()
    process(server).check()
    vars(server).update(fault)
    with pytest.raises(UsageError, match=says):
        process(server).check()
