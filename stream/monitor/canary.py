"""The canary: a row in Postgres that is seen again in ClickHouse proves the whole path, also while nothing changes.

The connector writes the row every second (heartbeat.action.query of stream/connect/scorestream-source.json), the
worker puts it into every shard (stream/monitor/heartbeat.py), and here both ends are compared. So the monitor writes
nowhere.

Enters: what Postgres and a shard show. Leaves: how late the path is. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SILENT_S = 15.0  # so long without a new beat in Postgres: nobody writes them, not even a connector that restarts
_KEPT = 10_000  # beats remembered while none comes through: hours


class Seen(NamedTuple):
    """A beat as one end shows it; times in Unix seconds. `stored_at` is known to ClickHouse only."""

    beat: int
    at: float
    stored_at: float | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """How the path stands.

    Attributes:
        state: ok; late (a beat is in Postgres and not in ClickHouse); silent (no new beats in Postgres); absent (beats
            have never come to ClickHouse, or the table is not there: nothing can be said).
        late_s: age of the oldest beat that is not on every shard; 0 when all are.
        as_of: everything committed in Postgres until then is visible, as far as the canary can tell; Unix seconds.
        round_trip_s: of the last beat that is on all shards, from Postgres to the shard's clock.
    """

    state: str
    late_s: float
    as_of: float | None
    round_trip_s: float | None
    beat: int | None
    shards: tuple[int | None, ...] = ()


class CanaryTrack:
    """Remembers beats as Postgres showed them, to know the age of one that has not arrived."""

    def __init__(self, *, settle_s: float = 2.0) -> None:
        self._settle_s = settle_s
        self._written: deque[Seen] = deque(maxlen=_KEPT)
        self._round_trips: deque[tuple[int, float]] = deque(maxlen=100)

    def look(
        self, now: float, written: Seen | None, shards: Sequence[Seen | None], *, read_at: float | None = None
    ) -> Canary:
        """Compare both ends.

        Args:
            written: the row as Postgres has it; None when there is none.
            shards: the newest beat of each shard; None for a shard without one.
            read_at: when the shard that was asked longest ago was read; default: now.
        """
        if written is not None and (not self._written or self._written[-1].beat != written.beat):
            if self._written and written.beat < self._written[-1].beat:  # another Postgres
                self._written.clear()
            self._written.append(written)
        shown = tuple(None if seen is None else seen.beat for seen in shards)
        if written is None or not shards or all(seen is None for seen in shards):
            return Canary("absent", 0.0, None, None, None if written is None else written.beat, shown)
        arrived = min(-1 if seen is None else seen.beat for seen in shards)
        trip = self._round_trip(shards, arrived)
        missing = [seen for seen in self._written if seen.beat > arrived]
        # A beat of this moment is on its way, not late; nor is one that was written after the shards were read.
        on_its_way = not missing or (now if read_at is None else read_at) - missing[0].at <= self._settle_s
        late_s = 0.0 if on_its_way else now - missing[0].at
        oldest = min((seen.at for seen in shards if seen is not None), default=written.at)
        silent = now - written.at > SILENT_S
        as_of = oldest if late_s or silent else now
        state = "late" if late_s else "silent" if silent else "ok"
        return Canary(state, late_s, as_of, trip, written.beat, shown)

    def _round_trip(self, shards: Sequence[Seen | None], arrived: int) -> float | None:
        trips = [s.stored_at - s.at for s in shards if s is not None and s.beat == arrived and s.stored_at is not None]
        if not trips:
            return None
        if not self._round_trips or self._round_trips[-1][0] != arrived:
            self._round_trips.append((arrived, max(0.0, *trips)))
        return self._round_trips[-1][1]


def state_of(canary: Canary) -> Mapping[str, object]:
    """For JSON."""
    return {
        "state": canary.state,
        "late_s": canary.late_s,
        "as_of": canary.as_of,
        "round_trip_s": canary.round_trip_s,
        "beat": canary.beat,
        "shards": list(canary.shards),
    }
