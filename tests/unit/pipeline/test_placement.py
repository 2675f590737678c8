"""Where a row belongs: appeal or not, process or conversation, month and shard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.placement import TIME_MAX_US, TIME_MIN_US, Place, State, is_process, month_of, place_of, shard_of

DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(TIME_MIN_US, TIME_MAX_US)


@given(TIMES)
def test_the_month_is_the_calendars(time_us: int) -> None:
    at = EPOCH + timedelta(microseconds=time_us)
    assert month_of(time_us) == at.year * 100 + at.month


@pytest.mark.parametrize(
    ("at", "month"),
    [
        ("1900-01-01", 190001),
        ("1969-12-31", 196912),
        ("1970-01-01", 197001),
        ("2000-02-29", 200002),
        ("2000-03-01", 200003),
        ("2100-02-28", 210002),
        ("2299-12-31", 229912),
    ],
)
def test_months_at_the_seams(at: str, month: int) -> None:
    time_us = int((datetime.fromisoformat(at).replace(tzinfo=UTC) - EPOCH).total_seconds()) * 1_000_000
    assert month_of(time_us) == month_of(time_us + DAY_US - 1) == month


@given(TIMES, st.integers(1, 20), st.integers(1, 31))
def test_a_bucket_of_days_is_on_one_shard(time_us: int, shards: int, bucket_days: int) -> None:
    shard = shard_of(time_us, shards=shards, bucket_days=bucket_days)
    start = time_us // (DAY_US * bucket_days) * DAY_US * bucket_days
    assert 0 <= shard < shards
    assert shard_of(start, shards=shards, bucket_days=bucket_days) == shard
    assert shard_of(start + DAY_US * bucket_days, shards=shards, bucket_days=bucket_days) == (shard + 1) % shards


def test_days_before_1970_have_a_shard_too() -> None:
    assert [shard_of(day * DAY_US, shards=2, bucket_days=1) for day in (-2, -1, 0, 1)] == [0, 1, 0, 1]


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_an_appeal_keeps_the_place_that_it_would_have(kind: int) -> None:
    place = place_of(customer_id="acme", scorecard_type=kind, process=False, event_time_us=5)
    assert place == Place(State.APPEAL, "acme", 5, False)


@pytest.mark.parametrize("kind", [None, 0])
def test_null_and_zero_are_ordinary(kind: int | None) -> None:
    assert place_of(customer_id="acme", scorecard_type=kind, process=True, event_time_us=5).state == State.VISIBLE


@pytest.mark.parametrize("kind", [4, -1, 99])
def test_an_unknown_type_is_never_shown(kind: int) -> None:
    assert place_of(customer_id="acme", scorecard_type=kind, process=True, event_time_us=5).state == State.WAITING


@pytest.mark.parametrize("time_us", [None, TIME_MIN_US - 1, TIME_MAX_US + 1])
def test_without_a_time_that_clickhouse_holds_it_waits(time_us: int | None) -> None:
    place = place_of(customer_id="acme", scorecard_type=None, process=True, event_time_us=time_us)
    assert (place.state, place.event_time_us) == (State.WAITING, None)


@pytest.mark.parametrize(("conversation", "process"), [(None, True), ("", True), ("c1", False)])
def test_no_conversation_means_process(conversation: str | None, process: bool) -> None:
    assert is_process(conversation) is process
