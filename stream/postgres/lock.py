"""Advisory locks in Postgres: which process works on what, with no clock and no timeout to get wrong.

A connection holds a lock, so the lock is free the moment its process dies, on any host. A process that sleeps keeps its
locks. A process whose connection breaks loses them, and `check` says so: another process may hold them by then.

Enters: a name and numbers. Leaves: yes or no. Sessions hold these locks, so a pooler in transaction mode cannot.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import Self, TypeVar

import psycopg

from stream.errors import PostgresUnavailable
from stream.postgres.connection import Connection, Postgres

T = TypeVar("T")


class LockSpace:
    """Numbered locks under one name. `with`-able, for one thread.

    Args:
        name: the subject of the locks; the same on all hosts.
        what: names the locks in errors.
    """

    def __init__(self, postgres: Postgres, name: str, *, what: str = "locks") -> None:
        self._postgres = postgres
        # Postgres' locks with two keys are two 32-bit numbers.
        self._space = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], signed=True)
        self._what = what
        self._connection: Connection | None = None
        self.held: set[int] = set()
        self._doubtful: set[int] = set()  # held by a connection that broke

    def claim(self, number: int) -> bool:
        """Take a lock. True when this process holds it now; False when another one does.

        Raises:
            PostgresUnavailable: no connection; all locks may be lost.
        """
        if number in self.held:
            return True

        def ask(connection: Connection) -> bool:
            row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (self._space, number)).fetchone()
            return bool(row is not None and row[0])

        if self._ask(ask):
            self.held.add(number)
            return True
        return False

    def release(self, number: int) -> None:
        """Release a lock, so that another process can take it."""
        if number in self.held:
            self._ask(lambda c: c.execute("SELECT pg_advisory_unlock(%s, %s)", (self._space, number)))
            self.held.discard(number)

    def check(self) -> set[int]:
        """Ask whether the connection, and with it the locks, are still there; returns the lost locks."""
        with contextlib.suppress(PostgresUnavailable):  # the next question opens another connection
            self._ask(lambda connection: connection.execute("SELECT 1"))
        # Most losses are short: take back the locks that no other process has taken.
        lost = {number for number in self._doubtful if not self.claim(number)}
        self._doubtful.clear()
        return lost

    def close(self) -> None:
        """Release everything."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.held.clear()
        self._doubtful.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, question: Callable[[Connection], T]) -> T:
        try:
            if self._connection is None or self._connection.closed:
                self._doubt()
                self._connection = self._postgres.holding()
            return question(self._connection)
        except psycopg.Error as error:
            self._doubt()
            raise PostgresUnavailable(f"{self._what}: {str(error).splitlines()[0]}") from error

    def _doubt(self) -> None:
        """Record that the connection is gone, and with it every lock that it held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._doubtful |= self.held
        self.held.clear()
