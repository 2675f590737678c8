"""The state that a reader of ClickHouse must see of a committed change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from testbed.traffic.workload import Card

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seen:
    """The state that a reader must see: a row of `scorecard_current`, or of `score_current`.

    `updated_us` and `event_us` are microseconds since 1970: the row has that updated_at or a later one, and exactly
    that event_time. With neither given the row must be absent. `near_us` is the event time of the place where the row
    must appear, or which it must have left; None: any.
    """

    kind: str
    card: Card
    score_id: str | None = None  # None: the scorecard's row
    updated_us: int | None = None
    event_us: int | None = None
    near_us: int | None = None

    @property
    def absent(self) -> bool:
        return self.updated_us is None and self.event_us is None


@dataclass(frozen=True, slots=True)
class Written:
    """A committed transaction: its row changes, and the state that a reader must see."""

    changes: int
    seen: Seen | None = None


def micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
