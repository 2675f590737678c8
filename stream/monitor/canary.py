"""The canary: a row in Postgres that is seen again in ClickHouse proves the whole path, also while nothing changes.

The connector writes the row every second (heartbeat.action.query of stream/connect/scorestream-source.json). The worker
puts it into every shard (stream/live/heartbeat.py). This module compares both ends, so the monitor writes nowhere.

Enters: the newest beats of Postgres and of the shards. Leaves: how late the path is. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

_SAME_S: Final = 0.001  # both ends give the same time as a float, up to rounding
SILENT_S = 15.0  # limit without a new beat in Postgres; a connector that restarts needs less
_KEPT = 10_000  # beats remembered while none comes through: hours


class SeenBeat(NamedTuple):
    """A beat as one end shows it; times in Unix seconds. Only ClickHouse knows `stored_at`."""

    beat: int
    at: float
    stored_at: float | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """The state of the path.

    Attributes:
        state: ok; late (a beat is in Postgres and not in ClickHouse); silent (no new beats in Postgres). Or absent:
            beats have never come to ClickHouse, or the table is missing, so that nothing can be said.
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
    """Remembers beats as Postgres showed them, to know the age of one that has not arrived.

    A beat's time identifies it, and not its number. A heartbeat row that was deleted or restored counts again from a
    lower number, while ClickHouse still holds the higher ones.
    """

    def __init__(self, *, settle_s: float = 2.0) -> None:
        self._settle_s = settle_s
        self._written: deque[SeenBeat] = deque(maxlen=_KEPT)
        self._arrived: list[SeenBeat | None] = []  # the newest beat that each shard has ever shown

    def look(
        self, now: float, written: SeenBeat | None, shards: Sequence[SeenBeat | None], *, read_at: float | None = None
    ) -> Canary:
        """Compare both ends.

        Args:
            written: the row as Postgres has it; None when there is none.
            shards: the newest beat of each shard; None for a shard without one.
            read_at: when the least recently asked shard was read; default: now.
        """
        if written is not None and (not self._written or self._written[-1].at != written.at):
            if self._written and written.at < self._written[-1].at:  # another Postgres
                self._written.clear()
            self._written.append(written)
        shown = tuple(None if seen is None else seen.beat for seen in shards)
        if written is None or not shards or all(seen is None for seen in shards):
            return Canary("absent", 0.0, None, None, None if written is None else written.beat, shown)
        self._remember(shards)
        arrived = min(float("-inf") if seen is None else seen.at for seen in self._arrived)
        trip = self._round_trip(arrived)
        missing = [seen for seen in self._written if seen.at > arrived + _SAME_S]
        # A beat of this moment is on its way, not late. Nor is a beat late that was written after the shards were read.
        on_its_way = not missing or (now if read_at is None else read_at) - missing[0].at <= self._settle_s
        late_s = 0.0 if on_its_way else now - missing[0].at
        oldest = min((seen.at for seen in self._arrived if seen is not None), default=written.at)
        silent = now - written.at > SILENT_S
        as_of = oldest if late_s or silent else now
        state = "late" if late_s else "silent" if silent else "ok"
        return Canary(state, late_s, as_of, trip, written.beat, shown)

    def _remember(self, shards: Sequence[SeenBeat | None]) -> None:
        """Keep the newest beat of each shard: a merge in ClickHouse may drop a newer beat with a lower number."""
        if len(self._arrived) != len(shards):
            self._arrived = [None] * len(shards)
        for number, seen in enumerate(shards):
            before = self._arrived[number]
            if seen is not None and (before is None or seen.at > before.at):
                self._arrived[number] = seen

    def _round_trip(self, arrived: float) -> float | None:
        trips = [
            max(0.0, seen.stored_at - seen.at)
            for seen in self._arrived
            if seen is not None and seen.stored_at is not None and abs(seen.at - arrived) <= _SAME_S
        ]
        return max(trips, default=None)


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
