"""The limits of a replay: looks at live's lag and at the shards' parts, beside the work."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from stream.clickhouse.shards import Shards
from stream.errors import ScorestreamError
from stream.kafka.broker import Broker
from stream.kafka.topic_partition import TP

_LOOK_S = 0.5
_PARTS_S = 5.0
_MOST_PARTS = (
    "SELECT max(n) FROM (SELECT count() AS n FROM system.parts "
    "WHERE active AND database = %(database)s GROUP BY table, partition_id)"
)


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at the live flow and the shards. `live`: a live worker runs; without one `live_lag_s` is 0."""

    live_lag_s: float = 0.0
    parts: int = 0
    errors: int = 0
    live: bool = True


class Watch:
    """Looks at the live group and at ClickHouse, at most twice a second.

    For each partition it notes when the log's end passed live's committed offset; the oldest such moment gives the lag.
    A look takes one request for the ends and one for the committed offsets, and reads no message. Live commits four
    times a second, so a lag of that length counts as none.
    """

    _COMMITS_S = 0.25

    def __init__(self, broker: Broker, shards: Shards) -> None:
        self._broker = broker
        self._shards = shards
        self._tps: list[TP] = []
        self._ends: deque[tuple[float, Mapping[TP, int]]] = deque()
        self._looked_at = self._parts_at = self._members_at = float("-inf")
        self._live_runs = False
        self._live_lag_s = 0.0
        self._parts = 0
        self._errors: deque[tuple[float, int]] = deque()

    @property
    def live_runs(self) -> bool:
        """Whether a live worker ran at the last look."""
        return self._live_runs

    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() - self._looked_at >= _LOOK_S

    def look(self, errors: int) -> Looked:
        """Look again. `errors`: how many steps of this process had to be tried again, ever."""
        now = self._looked_at = time.monotonic()
        try:
            self._live_lag_s = self._look_at_live(now)
            if now - self._parts_at >= _PARTS_S:
                self._parts_at = now
                self._parts = self._look_at_parts()
        except ScorestreamError:
            pass  # a source that does not answer keeps its last answer; the replay's own steps notice an outage
        self._errors.append((now, errors))
        while now - self._errors[0][0] > 60:
            self._errors.popleft()
        return Looked(self._live_lag_s, self._parts, errors - self._errors[0][1], live=self._live_runs)

    def _look_at_live(self, now: float) -> float:
        if now - self._members_at >= _PARTS_S:
            self._members_at = now
            self._live_runs = bool(self._broker.group(self._broker.live_group).members)
        if not self._live_runs:  # it is behind for another reason than this replay
            self._ends.clear()
            return 0.0
        if not self._tps:
            self._tps = self._broker.source_partitions()
        ends = self._broker.ends(self._tps)
        committed = self._broker.committed(self._broker.live_group, self._tps)
        self._ends.append((now, ends))
        while now - self._ends[0][0] > 120:
            self._ends.popleft()
        return max(0.0, lag_s(self._ends, committed, now) - self._COMMITS_S)

    def _look_at_parts(self) -> int:
        found = 0
        for shard in range(self._shards.count):
            with suppress(ScorestreamError):  # its inserts notice it
                rows = self._shards.ask(shard, _MOST_PARTS, {"database": self._shards.database})
                found = max(found, int(rows[0][0] or 0))
        return found


def lag_s(looks: deque[tuple[float, Mapping[TP, int]]], committed: Mapping[TP, int], now: float) -> float:
    """Age of the oldest look at which a partition ended beyond its present committed offset.

    Partitions without a committed offset have no reader and do not count. 0 when nothing waits.
    """
    for at, ends in looks:
        if any(tp in committed and end > committed[tp] for tp, end in ends.items()):
            return now - at
    return 0.0
