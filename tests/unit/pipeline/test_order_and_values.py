"""ordering, values, placement: the small pure pieces."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import Refused
from stream.pipeline.ordering import LSN_MAX, commit_lsn, lsn, version
from stream.pipeline.placement import TIME_MAX_US, TIME_MIN_US, Place, State, month_of, place_of, shard_of
from stream.pipeline.values import Bad, are_uuids, convert, convert_checked, uuid_int, uuid_ints, uuid_text
from stream.tables import Column

LSNS = st.integers(0, LSN_MAX)


def test_the_transaction_that_commits_later_wins_although_its_lsn_is_lower() -> None:
    # measured with Debezium 3.6.3: two interleaved transactions
    assert version('["335498416","335534272"]') < version('["335534632","335506600"]')


def test_an_older_incremental_read_loses_against_a_transaction_that_was_open() -> None:
    assert version('["335669344","335669344"]') < version('["335670456","335643856"]')


def test_a_snapshot_read_is_older_than_what_was_committed_after_it() -> None:
    assert version('[null,"1000"]') < version('["1001","900"]')


@given(LSNS, LSNS, LSNS, LSNS, st.integers(0, 2**16 - 1))
def test_versions_order_by_epoch_then_commit_then_lsn(a: int, b: int, c: int, d: int, epoch: int) -> None:
    first, second = version(f'["{a}","{b}"]', epoch=epoch), version(f'["{c}","{d}"]', epoch=epoch)
    assert (first < second) == ((a, b) < (c, d))
    assert (commit_lsn(first), lsn(first)) == (a, b)
    assert first < 1 << 128
    if epoch:
        assert first > version(f'["{LSN_MAX}","{LSN_MAX}"]', epoch=epoch - 1)


@pytest.mark.parametrize(
    "text", [None, "", "[]", '["1"]', "[null,null]", '["x","1"]', '["-1","1"]', f'["{2**56}","1"]', "{"]
)
def test_what_is_no_sequence_is_refused(text: str | None) -> None:
    with pytest.raises(Refused, match="no_sequence"):
        version(text)


@given(st.lists(st.uuids()))
def test_a_column_of_uuids_is_that_of_the_standard_library(ids: list[UUID]) -> None:
    texts = [str(each) for each in ids]
    assert are_uuids(texts)
    assert uuid_ints(texts) == [each.int for each in ids]
    assert [uuid_int(text) for text in texts] == [uuid_int(text.replace("-", "")) for text in texts]
    assert [uuid_text(each.int) for each in ids] == texts


GOOD = "0a1b2c3d-0000-4000-8000-00000000000f"


@pytest.mark.parametrize(
    "bad",
    ["", "x", GOOD[:-1], GOOD + "0", GOOD.replace("-", "_"), GOOD.replace("a", "g"), GOOD[:-1] + "é", "0x" + GOOD[2:],
     GOOD[1:8] + "-" + GOOD[8:] + "0", " " + GOOD[1:], GOOD.replace("-", " "), "-" * 36, "0" * 33, "\uff10" * 32],
)  # fmt: skip
def test_what_is_no_uuid_is_found_alone_and_among_others(bad: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        uuid_int(bad)
    assert not are_uuids([GOOD, bad, GOOD])
    found: Bad = {}
    column = convert(Column("id", "uuid"), [GOOD, bad, None], found)
    assert column == [UUID(GOOD).int, None, None]
    assert list(found) == ([1] if bad else [])  # '' stands for none


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2299, 12, 31)).map(lambda t: t.replace(tzinfo=UTC))
)
def test_times_are_exact_microseconds(time: datetime) -> None:
    (us,) = convert(Column("t", "time"), [time], {})
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us) == time
    assert month_of(us) == time.year * 100 + time.month


@pytest.mark.parametrize("time", [datetime(2300, 1, 1, tzinfo=UTC), datetime(1899, 12, 31, tzinfo=UTC), 2**62])
def test_times_that_clickhouse_cannot_hold_are_refused(time: datetime | int) -> None:
    found: Bad = {}
    assert convert_checked(Column("t", "time"), [time, 0], found) == [None, 0]
    assert found[0].reason == "bad_time"


@given(st.lists(st.one_of(st.none(), st.floats(), st.floats(allow_nan=False, allow_infinity=False).map(repr))))
def test_floats_are_finite_or_refused(values: list[float | str | None]) -> None:
    found: Bad = {}
    column = convert(Column("x", "float"), list(values), found)
    for index, value in enumerate(values):
        if value is None:
            assert column[index] is None
        elif math.isfinite(float(value)):
            assert column[index] == float(value)
        else:
            assert found[index].reason == "not_finite"


@pytest.mark.parametrize(("kind", "state"), [(None, 0), (0, 0), (1, 1), (2, 1), (3, 1), (4, 2), (-1, 2)])
def test_appeals_are_dropped_and_unknown_types_never_shown(kind: int | None, state: int) -> None:
    place = place_of(customer_id="c", scorecard_type=kind, process=False, event_time_us=5)
    assert place.state == State(state)


@pytest.mark.parametrize("time", [None, TIME_MIN_US - 1, TIME_MAX_US + 1])
def test_without_a_usable_time_a_scorecard_waits(time: int | None) -> None:
    assert place_of(customer_id="c", scorecard_type=None, process=True, event_time_us=time) == Place(
        State.WAITING, "c", None, True
    )


@given(st.integers(TIME_MIN_US, TIME_MAX_US), st.integers(1, 16), st.integers(1, 40))
def test_a_shard_is_a_bucket_of_days(time: int, shards: int, days: int) -> None:
    shard = shard_of(time, shards=shards, bucket_days=days)
    assert 0 <= shard < shards
    bucket_us = days * 86_400_000_000
    start = time // bucket_us * bucket_us
    assert shard_of(start, shards=shards, bucket_days=days) == shard
    assert shard_of(start + bucket_us, shards=shards, bucket_days=days) == (shard + 1) % shards
