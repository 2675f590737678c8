"""The replication slot, the heartbeat row and the locked tables of Postgres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from stream.monitor.canary import SeenBeat
from stream.postgres.connection import Connection, Postgres, is_readable
from stream.postgres.publication import unstreamed
from stream.postgres.table_locks import TableLock, table_locks
from stream.tables import HEARTBEAT, LOOKED_UP

_SLOT = """
SELECT active, wal_status, safe_wal_size, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
       extract(epoch FROM (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8,
       to_jsonb(s) ->> 'invalidation_reason'
FROM pg_replication_slots s WHERE slot_name = %s
"""
_SELDOM = 5  # a publication changes by hand only
_BEAT = "SELECT beat, extract(epoch FROM at)::float8 FROM {} ORDER BY beat DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class SlotReading:
    """A replication slot.

    Attributes:
        lag_bytes: WAL that the connector has not confirmed.
        retained_bytes: WAL that Postgres keeps because of the slot.
        safe_bytes: WAL that can still be written before the slot is in danger; None without max_slot_wal_keep_size.
        wal_status: reserved, extended, unreserved (in danger) or lost.
        inactive_since: Unix seconds; known since Postgres 17.
        unpublished: source tables that the publication leaves out.
    """

    active: bool
    wal_status: str | None
    safe_bytes: int | None
    lag_bytes: int
    retained_bytes: int
    inactive_since: float | None
    invalid: str | None
    unpublished: tuple[str, ...] = ()


class PostgresReading(NamedTuple):
    """One look at Postgres.

    Attributes:
        slot: None: there is none.
        beat: the newest; None: no table, no row, no permission.
        locks: that keep readers out of a source table.
    """

    slot: SlotReading | None
    beat: SeenBeat | None
    locks: tuple[TableLock, ...] = ()


class SlotSource:
    """The slot, the heartbeat row, the locks. For one thread; `close` it."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._unpublished: tuple[str, ...] = ()
        self._seen: SeenBeat | None = None
        self._calls = 0

    def read(self) -> PostgresReading:
        """Ask for all of it. Questions that a locked table would hold up keep their last answer meanwhile.

        Raises:
            PostgresUnavailable, PostgresRefused: no connection.
        """
        with self._postgres.asking("Postgres does not tell about its slot") as connection:
            row = connection.execute(_SLOT, (self._postgres.slot,)).fetchone()
            locks = table_locks(connection, self._postgres.schema, LOOKED_UP)
            own = self._postgres
            if f"{own.schema}.{HEARTBEAT}" not in {each.table for each in locks}:
                self._seen = self._beat(connection)
            if not locks:
                if self._calls % _SELDOM == 0:
                    self._unpublished = unstreamed(connection, own.publication, own.schema)
                self._calls += 1
        if row is None:
            return PostgresReading(None, self._seen, locks)
        active, status, safe, lag, retained, inactive_since, invalid = row
        slot = SlotReading(
            active=active,
            wal_status=status,
            safe_bytes=None if safe is None else int(safe),
            lag_bytes=max(0, lag or 0),
            retained_bytes=max(0, retained or 0),
            inactive_since=None if active else inactive_since,
            invalid=invalid,
            unpublished=self._unpublished,
        )
        return PostgresReading(slot, self._seen, locks)

    def close(self) -> None:
        self._postgres.close()

    def _beat(self, connection: Connection) -> SeenBeat | None:
        if not is_readable(connection, self._postgres.table(HEARTBEAT)):
            return None
        row = connection.execute(_BEAT.format(self._postgres.table(HEARTBEAT))).fetchone()
        return None if row is None else SeenBeat(beat=row[0], at=row[1])
