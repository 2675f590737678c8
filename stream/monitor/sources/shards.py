"""The state of each ClickHouse shard: its parts, and the newest heartbeat that has come to it.

Enters: the store of the shards. Leaves: plain values. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from stream.clickhouse.schema.policies import Policy, policies
from stream.clickhouse.shards import Shards
from stream.errors import ClickHouseRefused
from stream.monitor.canary import SeenBeat

_PARTS = """
SELECT table, toInt64(sum(n)), toInt64(max(n)) FROM (
    SELECT table, partition, count() AS n FROM system.parts WHERE active AND database = {name:String}
    GROUP BY table, partition
) GROUP BY table ORDER BY table
"""
_LAST_BEAT = """
SELECT toInt64(argMax(beat, at)), toFloat64(max(at)), toFloat64(argMax(stored_at, at)), toInt64(count())
FROM `{database}`.`heartbeat`
"""

ANSWER_S = 4.0  # seconds; a shard that counts its parts for longer does not answer


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a table on a shard: all, and those of the ClickHouse partition that has the most."""

    total: int
    most: int


@dataclass(frozen=True, slots=True)
class ShardReading:
    """What a shard shows."""

    parts: Mapping[str, Parts]
    beat: SeenBeat | None
    has_heartbeat: bool
    policies: tuple[Policy, ...] = ()


class ShardSource:
    """One shard's parts and its newest beat. For one thread; `close` it."""

    def __init__(self, shards: Shards, shard: int) -> None:
        self._shards = shards
        self._shard = shard
        self._parts: dict[str, Parts] = {}
        self._policies: tuple[Policy, ...] = ()
        self._blind = False  # this user may not see policies
        self._calls = 0

    def read(self) -> ShardReading:
        """Ask the shard.

        Raises:
            ClickHouseUnavailable, ClickHouseRefused: naming the shard.
        """
        if self._calls % 5 == 0:  # parts change slowly, and counting them costs more than a beat
            rows = self._shards.ask(self._shard, _PARTS, {"name": self._shards.database})
            self._parts = {table: Parts(total, most) for table, total, most in rows}
            self._look_at_policies()
        beat, there = self._read_beat()
        self._calls += 1
        return ShardReading(parts=self._parts, beat=beat, has_heartbeat=there, policies=self._policies)

    def close(self) -> None:
        self._shards.close()

    def _look_at_policies(self) -> None:
        if self._blind:
            return
        found = policies(partial(self._shards.ask, self._shard), self._shards.database)
        self._blind, self._policies = found is None, tuple(found or ())

    def _read_beat(self) -> tuple[SeenBeat | None, bool]:
        try:
            rows = self._shards.ask(self._shard, _LAST_BEAT)
        except ClickHouseRefused:  # no such table, or no permission for it: no canary
            return None, False
        beat, at, stored_at, count = rows[0]
        return (SeenBeat(beat, at, stored_at) if count else None), True
