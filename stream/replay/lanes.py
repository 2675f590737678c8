"""Which process works on which lane of a replay: advisory locks in Postgres, one for each lane.

A lock is held by a connection, so it is free the moment its process dies, on whatever host, and there is no clock or
timeout to get wrong. A process that sleeps keeps its locks. One whose connection breaks loses them: then another may
process the same lane once more, which is harmless (design: any message may be processed twice, at any time).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from typing import Any, Self, TypeVar

import psycopg

from stream.config import PostgresSettings
from stream.errors import PostgresUnavailable
from stream.postgres import connection as postgres

T = TypeVar("T")
ADVANCE = -1  # the lock of whoever starts the next pass

# A host that is cut off loses its locks in half a minute, not in the two hours of TCP's defaults.
_KEEPALIVE = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4"


class Lanes:
    """The lanes that this process holds. `with`-able, for one thread."""

    def __init__(self, settings: PostgresSettings, name: str) -> None:
        self._settings = settings
        # Postgres' locks with two keys are two 32-bit numbers.
        self._space = int.from_bytes(hashlib.sha256(f"scorestream replay {name}".encode()).digest()[:4], signed=True)
        self._connection: psycopg.Connection[Any] | None = None
        self.held: set[int] = set()
        self._doubtful: set[int] = set()  # held by a connection that broke

    def claim(self, lane: int) -> bool:
        """True when the lane is ours now; False when another process has it.

        Raises:
            PostgresUnavailable: nobody can be asked; all lanes may be lost.
        """
        if lane in self.held:
            return True

        def ask(connection: psycopg.Connection[Any]) -> bool:
            row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (self._space, lane)).fetchone()
            return bool(row is not None and row[0])

        if self._ask(ask):
            self.held.add(lane)
            return True
        return False

    def release(self, lane: int) -> None:
        """Let another process have it."""
        if lane in self.held:
            self._ask(lambda c: c.execute("SELECT pg_advisory_unlock(%s, %s)", (self._space, lane)))
            self.held.discard(lane)

    def check(self) -> set[int]:
        """Ask whether the connection, and with it the locks, are still there; returns the lanes that were lost."""
        with contextlib.suppress(PostgresUnavailable):  # the next question opens another connection
            self._ask(lambda connection: connection.execute("SELECT 1"))
        # Mostly a short loss: take back what nobody else has taken.
        lost = {lane for lane in self._doubtful if not self.claim(lane)}
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

    def _ask(self, question: Callable[[psycopg.Connection[Any]], T]) -> T:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = postgres.connect(self._settings)
                self._connection.execute(_KEEPALIVE)
            return question(self._connection)
        except psycopg.Error as error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._doubtful |= self.held
            self.held.clear()
            raise PostgresUnavailable(f"locks of the replay: {str(error).splitlines()[0]}") from error
