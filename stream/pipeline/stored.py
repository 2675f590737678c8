"""What the two stores hold of scorecards, as the pipeline sees it. Declarations only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream.pipeline.placement import Place


class Key(NamedTuple):
    """Which stored rows collapse into one: sort key and shard. `row_id` is the score's id, or the scorecard's.

    The event time is exact. A row with another time has another place, and the old row needs a delete marker.
    ClickHouse skips parts by their event times before it looks for the newest state. So a reader's window may hold the
    old row alone.
    """

    shard: int
    table: str
    customer_id: str
    scorecard_id: int
    row_id: int
    event_time_us: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Scorecards as they are in Postgres at one moment.

    Rows are (scorecard id, values in the order of `Table.columns`): UUIDs as text, times as int microseconds.
    """

    places: Mapping[str, Place]
    rows: Mapping[str, Sequence[tuple[Any, ...]]]  # by target table


class Standing(NamedTuple):
    """A row that ClickHouse shows."""

    key: Key
    version: int


class StandingPlace(NamedTuple):
    """Rows of a scorecard that ClickHouse shows on one shard, under one customer, at one event time.

    `version`: the highest of them. `rows`: how many there are.
    """

    scorecard_id: int
    customer_id: str
    shard: int
    event_time_us: int
    version: int
    rows: int
