"""Where a row belongs: which scorecards are appeals, which time a process scorecard has, which shard holds a row.

Enters: the present state of a scorecard (and its conversation) in Postgres. Leaves: a Place. Pure.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

APPEALS = frozenset({1, 2, 3})  # the original's copy, the request, the resolution
ORDINARY = frozenset({None, 0})

# DateTime64(6) holds 1900-01-01 .. 2299-12-31, in microseconds since 1970.
TIME_MIN_US = -2_208_988_800_000_000
TIME_MAX_US = 10_413_791_999_999_999
_DAY_US = 86_400_000_000


class State(IntEnum):
    """What happens to a scorecard and its scores."""

    VISIBLE = 0  # indexed in its place
    APPEAL = 1  # never shown
    WAITING = 2  # no event time yet: the conversation has not arrived, or its time is missing
    GONE = 3  # not in Postgres (any more)


class Place(NamedTuple):
    """Where a scorecard and its scores belong. Equal places need no move.

    An appeal keeps the customer and time that it would have: deletes of its scores are marked there.
    """

    state: State
    customer_id: str = ""
    event_time_us: int | None = None
    is_process: bool = False


GONE = Place(State.GONE)


def own_row_changed(before: Place, now: Place) -> bool:
    """Whether the scorecard's own row changed between these two looks, for certain.

    A different time alone may come from its conversation.
    """
    if State.GONE in (before.state, now.state):
        return before.state != State.GONE
    return (
        before.customer_id != now.customer_id
        or before.is_process != now.is_process
        or (before.state == State.APPEAL) != (now.state == State.APPEAL)
        or (now.is_process and before.event_time_us != now.event_time_us)
    )


def is_process(conversation_id: str | None) -> bool:
    """A process scorecard grades no conversation: its conversation id is NULL or empty."""
    return not conversation_id


def place_of(*, customer_id: str, scorecard_type: int | None, process: bool, event_time_us: int | None) -> Place:
    """The place of a scorecard that exists in Postgres.

    Args:
        event_time_us: `scorecard_time` of a process scorecard, otherwise the conversation's `started_at`; None while it
            is unknown.
    """
    known = event_time_us is not None and TIME_MIN_US <= event_time_us <= TIME_MAX_US
    if scorecard_type in APPEALS:
        state = State.APPEAL
    elif not known or scorecard_type not in ORDINARY:
        # An unknown type is never shown; its scorecard's own message is a dead letter that says so.
        state = State.WAITING
    else:
        state = State.VISIBLE
    return Place(state, customer_id, event_time_us if known else None, process)


def shard_of(event_time_us: int, *, shards: int, bucket_days: int) -> int:
    """Number of the shard that holds an event time: days since 1970 in buckets, modulo the number of shards."""
    return event_time_us // (_DAY_US * bucket_days) % shards


def month_of(event_time_us: int) -> int:
    """ClickHouse's `toYYYYMM` of an event time (UTC): its partition."""
    year, month = _civil(event_time_us // _DAY_US)
    return year * 100 + month


def _civil(days: int) -> tuple[int, int]:
    """Year and month of a day number; the proleptic Gregorian calendar, exact where datetime would overflow."""
    days += 719_468  # days from 0000-03-01 to 1970-01-01
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153  # month counted from March
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month
