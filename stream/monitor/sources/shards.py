"""How the outside systems are: the replication slot and the heartbeat row in Postgres, the connector, the shards.

Enters: settings. Leaves: plain values. Reads only; one client each, kept open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.clickhouse import shards as clickhouse
from stream.config import ClickHouseSettings
from stream.errors import ClickHouseRefused
from stream.monitor.canary import Seen
from stream.monitor.heartbeat import TABLE as HEARTBEAT_TABLE

_PARTS = """
SELECT table, toInt64(sum(n)), toInt64(max(n)) FROM (
    SELECT table, partition, count() AS n FROM system.parts WHERE active AND database = {database:String}
    GROUP BY table, partition
) GROUP BY table ORDER BY table
"""
_LAST_BEAT = """
SELECT toInt64(argMax(beat, at)), toFloat64(max(at)), toFloat64(argMax(stored_at, at)), toInt64(count()) FROM {}
"""

_ANSWER_S = 4.0  # a shard that needs longer for its parts does not answer


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
