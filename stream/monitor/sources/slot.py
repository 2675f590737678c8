"""The replication slot and the heartbeat row, as Postgres tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from stream.config import PostgresSettings
from stream.errors import PostgresUnavailable
from stream.monitor.canary import Seen
from stream.postgres import connection as postgres
from stream.tables import HEARTBEAT

_SLOT = """
SELECT active, wal_status, safe_wal_size, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
       extract(epoch FROM (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8,
       to_jsonb(s) ->> 'invalidation_reason'
FROM pg_replication_slots s WHERE slot_name = %s
"""
_BEAT = "SELECT beat, extract(epoch FROM at)::float8 FROM {} ORDER BY beat DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot.

    Attributes:
        lag_bytes: WAL that the connector has not confirmed.
        retained_bytes: WAL that Postgres keeps because of the slot.
        safe_bytes: WAL that can still be written before the slot is in danger; None without max_slot_wal_keep_size.
        wal_status: reserved, extended, unreserved (in danger) or lost.
        inactive_since: Unix seconds; known since Postgres 17.
    """

    active: bool
    wal_status: str | None
    safe_bytes: int | None
    lag_bytes: int
    retained_bytes: int
    inactive_since: float | None
    invalid: str | None


class SlotSource:
    """The slot and the heartbeat row. For one thread; `close` it."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._connection: psycopg.Connection[Any] | None = None

    def read(self) -> tuple[Slot | None, Seen | None]:
        """The slot (None: there is none) and the newest beat (None: no table, no row, no permission).

        Raises:
            PostgresUnavailable, PostgresRefused: no connection.
        """
        connection = self._connected()
        try:
            row = connection.execute(_SLOT, (self._settings.slot,)).fetchone()
            beat = self._beat(connection)
        except psycopg.Error as error:
            self.close()
            raise PostgresUnavailable(f"Postgres does not tell about its slot: {str(error).splitlines()[0]}") from error
        if row is None:
            return None, beat
        active, status, safe, lag, retained, inactive_since, invalid = row
        slot = Slot(
            active=active,
            wal_status=status,
            safe_bytes=None if safe is None else int(safe),
            lag_bytes=max(0, lag or 0),
            retained_bytes=max(0, retained or 0),
            inactive_since=None if active else inactive_since,
            invalid=invalid,
        )
        return slot, beat

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = postgres.connect(self._settings)
            self._connection.execute("SET statement_timeout = 5000")
        return self._connection

    def _beat(self, connection: psycopg.Connection[Any]) -> Seen | None:
        table = f'"{self._settings.source_schema}"."{HEARTBEAT}"'
        try:
            row = connection.execute(_BEAT.format(table)).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            return None
        return None if row is None else Seen(beat=row[0], at=row[1])
