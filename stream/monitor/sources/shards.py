"""How the outside systems are: the replication slot and the heartbeat row in Postgres, the connector, the shards.

Enters: settings. Leaves: plain values. Reads only; one client each, kept open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.clickhouse import target as clickhouse
from stream.config import ClickHouseSettings, PostgresSettings
from stream.errors import ClickHouseRefused, PostgresUnavailable
from stream.monitor.canary import Seen
from stream.monitor.heartbeat import TABLE as HEARTBEAT_TABLE
from stream.postgres import places as postgres
from stream.tables import HEARTBEAT

_SLOT = """
SELECT active, wal_status, safe_wal_size, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
       extract(epoch FROM (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8,
       to_jsonb(s) ->> 'invalidation_reason'
FROM pg_replication_slots s WHERE slot_name = %s
"""
_BEAT = "SELECT beat, extract(epoch FROM at)::float8 FROM {} ORDER BY beat DESC LIMIT 1"
_PARTS = """
SELECT table, toInt64(sum(n)), toInt64(max(n)) FROM (
    SELECT table, partition, count() AS n FROM system.parts WHERE active AND database = {database:String}
    GROUP BY table, partition
) GROUP BY table ORDER BY table
"""
_LAST_BEAT = """
SELECT toInt64(max(beat)), toFloat64(argMax(at, beat)), toFloat64(argMax(stored_at, beat)), toInt64(count()) FROM {}
"""

_ANSWER_S = 4.0  # a shard that needs longer for its parts does not answer


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


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a table on a shard: all, and of its ClickHouse partition that has the most."""

    total: int
    most: int


@dataclass(frozen=True, slots=True)
class Shard:
    """What a shard shows."""

    parts: Mapping[str, Parts]
    beat: Seen | None
    has_heartbeat: bool


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


class ShardSource:
    """One shard's parts and its newest beat. For one thread; `close` it."""

    def __init__(self, settings: ClickHouseSettings, shard: int) -> None:
        self._settings = settings.model_copy(update={"timeout_s": min(_ANSWER_S, settings.timeout_s)})
        self._shard = shard
        self._client: Any = None
        self._parts: dict[str, Parts] = {}
        self._calls = 0

    def read(self) -> Shard:
        """Raises ClickHouseUnavailable, ClickHouseRefused."""
        try:
            if self._client is None:
                self._client = clickhouse.connect(self._settings, self._shard)
            if self._calls % 5 == 0:  # parts change slowly, and counting them costs more than a beat
                self._parts = self._read_parts()
            beat, there = self._read_beat()
            self._calls += 1
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            self.close()
            raise clickhouse.shard_error(self._settings, self._shard, error) from error
        return Shard(parts=self._parts, beat=beat, has_heartbeat=there)

    def close(self) -> None:
        client, self._client = self._client, None
        self._calls = 0
        if client is not None:
            client.close()

    def _read_parts(self) -> dict[str, Parts]:
        rows = self._client.query(_PARTS, parameters={"database": self._settings.database}).result_rows
        return {table: Parts(total, most) for table, total, most in rows}

    def _read_beat(self) -> tuple[Seen | None, bool]:
        try:
            rows = self._client.query(_LAST_BEAT.format(f"`{HEARTBEAT_TABLE}`")).result_rows
        except ClickHouseError as error:
            refused = clickhouse.shard_error(self._settings, self._shard, error)
            if isinstance(refused, ClickHouseRefused):  # no such table, or no permission for it: no canary
                return None, False
            raise
        beat, at, stored_at, count = rows[0]
        return (Seen(beat, at, stored_at) if count else None), True
