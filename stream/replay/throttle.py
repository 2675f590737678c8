"""Live first: how fast a replay may go while the live flow, ClickHouse or its own inserts are in trouble.

Enters: what was measured. Leaves: messages/s that are allowed, and why. Beside a live worker it begins slowly, for
that it is too fast is known only a second later, and is a quarter faster at each look. From then on a third less at
each look while something is above its limit, a tenth more when nothing is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream.clickhouse.target import connect
from stream.config import Settings
from stream.errors import ScorestreamError
from stream.kafka.broker import LagSource
from stream.kafka.offsets import TP
from stream.tables import SOURCES

_LOOK_S = 0.5
_PARTS_S = 5.0
_OPEN_PER_S = 1_000_000.0  # more than any process does: as good as no limit
_FIRST_PER_S = 2_000.0  # beside a live worker
_BEGUN_PER_S = 100_000.0  # what comes through so many is not stopped by more
_SLOW_BATCH_S = 2.0  # of what is allowed: a part in ClickHouse costs the same for ten rows as for a thousand
_BURST_S = 0.5  # but what is more than a thousand rows at once, live waits for


@dataclass(frozen=True, slots=True)
class Limits:
    """Above these a replay slows down."""

    live_lag_s: float
    parts: int
    errors_per_minute: int
    least_per_s: float


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at what must not suffer. `live`: a live worker runs; without one `live_lag_s` is 0."""

    live_lag_s: float = 0.0
    parts: int = 0
    errors: int = 0
    live: bool = True


def reason(look: Looked, limits: Limits) -> str:
    """What is above its limit; "" when nothing is."""
    if look.live_lag_s > limits.live_lag_s:
        return f"live is {look.live_lag_s:.1f} s behind (limit {limits.live_lag_s:g} s)"
    if look.parts > limits.parts:
        return f"{look.parts} active parts in a ClickHouse partition (limit {limits.parts})"
    if look.errors >= limits.errors_per_minute:
        return f"{look.errors} errors in the last minute (limit {limits.errors_per_minute})"
    return ""


class Throttle:
    """Messages/s of one process.

    Args:
        ceiling_per_s: what was asked for with --rate; None = as fast as it goes.
        clock: seconds; for tests.
    """

    def __init__(
        self, limits: Limits, *, ceiling_per_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._ceiling = ceiling_per_s or _OPEN_PER_S
        self._allowed = min(self._ceiling, _FIRST_PER_S)
        self._begins = True
        self._tokens = 0.0
        self._at = clock()
        self.why = ""

    @property
    def allowed_per_s(self) -> float | None:
        """None: no limit."""
        return None if self._allowed >= _OPEN_PER_S else self._allowed

    def look(self, look: Looked, *, present_per_s: float, ceiling_per_s: float | None = None) -> None:
        """Take a look into account. `present_per_s` is how fast the process goes now."""
        self._ceiling = ceiling_per_s or _OPEN_PER_S
        self.why = reason(look, self._limits)
        if self.why:
            self._begins = False
            at_most = min(self._allowed, max(present_per_s, self._limits.least_per_s))
            self._allowed = max(self._limits.least_per_s, at_most / 1.5)
        elif self._begins:
            self._begins = look.live and self._allowed < min(self._ceiling, _BEGUN_PER_S)
            self._allowed = 1.25 * self._allowed if self._begins else self._ceiling
        elif self._allowed < self._ceiling:
            self._allowed = min(self._ceiling, self._allowed * 1.1)
            if present_per_s < 0.5 * self._allowed and self._ceiling >= _OPEN_PER_S:
                self._allowed = self._ceiling  # something else is the limit by now
        self._allowed = min(self._allowed, self._ceiling)

    def room(self, most: int) -> int:
        """How many messages may be taken now, at most `most`; a tenth of a second's worth may be taken at once."""
        if self.allowed_per_s is None:
            return most
        now = self._clock()
        burst = max(1.0, self._allowed / 5)
        self._tokens = min(burst, self._tokens + (now - self._at) * self._allowed)
        self._at = now
        return max(0, min(most, int(self._tokens)))

    def batch(self, most: int) -> int:
        """How many messages make a batch, at most `most`."""
        if (allowed := self.allowed_per_s) is None:
            return most
        return min(most, max(100, int(min(allowed * _SLOW_BATCH_S, max(1_000, allowed * _BURST_S)))))

    def took(self, messages: int) -> None:
        """So many were taken."""
        if self.allowed_per_s is not None:
            self._tokens -= messages


class Watch:
    """Looks at the live group and at ClickHouse, at most twice a second; `close` it.

    The lag is how long ago the end of some partition passed what live has committed: one request for the ends and one
    for the committed offsets, no message is read. Live commits four times a second, so that much is none.
    """

    _COMMITS_S = 0.25

    def __init__(self, settings: Settings, *, database: str | None = None) -> None:
        self._settings = settings
        self._database = database or settings.clickhouse.database
        self._lag = LagSource(settings.kafka)
        self._tps: list[TP] = []
        self._ends: deque[tuple[float, Mapping[TP, int]]] = deque()
        self._clients: dict[int, Any] = {}
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
            pass  # what cannot be asked keeps its last answer; the replay's own steps notice an outage themselves
        self._errors.append((now, errors))
        while now - self._errors[0][0] > 60:
            self._errors.popleft()
        return Looked(self._live_lag_s, self._parts, errors - self._errors[0][1], live=self._live_runs)

    def close(self) -> None:
        self._lag.close()
        for client in self._clients.values():
            client.close()

    def _look_at_live(self, now: float) -> float:
        if now - self._members_at >= _PARTS_S:
            self._members_at = now
            self._live_runs = bool(self._lag.group(self._settings.kafka.group).members)
        if not self._live_runs:  # it is behind for another reason than this replay
            self._ends.clear()
            return 0.0
        if not self._tps:
            self._tps = self._lag.partitions(map(self._settings.topic, SOURCES))
        ends = self._lag.ends(self._tps)
        committed = self._lag.committed(self._settings.kafka.group, self._tps)
        self._ends.append((now, ends))
        while now - self._ends[0][0] > 120:
            self._ends.popleft()
        return max(0.0, lag_s(self._ends, committed, now) - self._COMMITS_S)

    def _look_at_parts(self) -> int:
        found = 0
        for shard in range(len(self._settings.clickhouse.shards)):
            try:
                if shard not in self._clients:
                    self._clients[shard] = connect(self._settings.clickhouse, shard, database="")
                rows = (
                    self._clients[shard]
                    .query(
                        "SELECT max(n) FROM (SELECT count() AS n FROM system.parts "
                        "WHERE active AND database = %(database)s GROUP BY table, partition_id)",
                        parameters={"database": self._database},
                    )
                    .result_rows
                )
            except Exception:  # the same: its inserts will tell
                self._clients.pop(shard, None)
                continue
            found = max(found, int(rows[0][0] or 0))
        return found


def lag_s(looks: deque[tuple[float, Mapping[TP, int]]], committed: Mapping[TP, int], now: float) -> float:
    """Age of the oldest look at which a partition already ended beyond what is committed now.

    Partitions without a committed offset are nobody's; 0 when nothing waits.
    """
    for at, ends in looks:
        if any(tp in committed and end > committed[tp] for tp, end in ends.items()):
            return now - at
    return 0.0
