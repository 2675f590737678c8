"""Columns of decoded JSON -> columns for ClickHouse's Native format."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.pipeline.placement import TIME_MAX_US, TIME_MIN_US, month_of
from stream.pipeline.values import (
    Bad,
    are_uuids,
    convert,
    convert_checked,
    finite,
    micros,
    uuid_int,
    uuid_ints,
    uuid_text,
)
from stream.tables import Column

UUIDS = st.uuids()
NOT_UUIDS = [
    "",
    "x",
    "00000000-0000-0000-0000-00000000000",
    "00000000-0000-0000-0000-0000000000000",
    "00000000-0000-0000-0000-00000000000g",
    "0000000000000-0000-0000-000000000000",
    "00000000-0000-0000-0000-000000000 00",
    "-0000000-0000-0000-0000-000000000000",
    "{0000000-0000-0000-0000-00000000000}",
    "+0000000000000000000000000000000",
    "0_000000000000000000000000000000",
    "00000000-0000-0000-0000-00000000000é",
    "\u06600000000-0000-0000-0000-000000000000",
]


@given(UUIDS)
def test_a_uuid_is_the_int_that_python_has_for_it(number: UUID) -> None:
    for text in (str(number), number.hex, str(number).upper()):
        assert uuid_int(text) == number.int
    assert uuid_text(number.int) == str(number)


@given(st.lists(UUIDS, max_size=20))
def test_a_column_at_once_equals_each_alone(numbers: list[UUID]) -> None:
    assert uuid_ints([str(number) for number in numbers]) == [number.int for number in numbers]


@given(st.lists(UUIDS, min_size=1, max_size=40, unique=True), st.integers(1, 6), st.booleans())
def test_a_column_of_few_uuids_is_converted_as_any_other(numbers: list[UUID], times: int, broken: bool) -> None:
    texts = [str(number) for number in numbers] * times
    if broken:
        texts[-1] = texts[-1][:-1] + "x"
    bad: Bad = {}
    out = convert(Column("criterion_id", "uuid"), texts, bad)
    expected: list[int | None] = [number.int for number in numbers] * times
    assert out == ([*expected[:-1], None] if broken else expected)
    assert list(bad) == ([len(texts) - 1] if broken else [])


@pytest.mark.parametrize("text", NOT_UUIDS)
def test_what_is_no_uuid_is_refused_alone_and_in_a_column(text: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        uuid_int(text)
    good = "00000000-0000-4000-8000-000000000001"
    assert not are_uuids([good, text, good])
    bad: Bad = {}
    out = convert(Column("score_id", "uuid"), [good, text, good], bad)
    if text == "":  # "none", as in scorecards.conversation_id
        assert (out, bad) == ([uuid_int(good), None, uuid_int(good)], {})
    else:
        assert out == [uuid_int(good), None, uuid_int(good)]
        assert [(index, refused.reason) for index, refused in bad.items()] == [(1, "bad_uuid")]


@given(st.lists(st.text(max_size=40), max_size=5))
@example(["0" * 35, "0" * 37])
@example(["00000000-0000-0000-0000-00000000000", "0"])
def test_the_column_path_accepts_nothing_that_the_single_path_refuses(texts: list[str]) -> None:
    if are_uuids(texts):
        assert uuid_ints(texts) == [uuid_int(text) for text in texts]


def test_two_wrong_lengths_that_add_up_are_not_two_uuids() -> None:
    good = "00000000-0000-4000-8000-000000000001"
    assert not are_uuids([good[:-1], good + "1"])


@given(st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31), timezones=st.just(UTC)))
def test_times_are_exact_to_the_microsecond(at: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros(at)) == at
    assert micros(at.astimezone(timezone(timedelta(hours=5, minutes=30)))) == micros(at)


@pytest.mark.parametrize("value", [TIME_MIN_US - 1, TIME_MAX_US + 1, datetime(1899, 12, 31, tzinfo=UTC)])
def test_times_beyond_what_clickhouse_holds_are_refused(value: Any) -> None:
    bad: Bad = {}
    assert convert_checked(Column("created_at", "time"), [0, value, None], bad) == [0, None, None]
    assert bad[1].reason == "bad_time"


@pytest.mark.parametrize("value", [TIME_MIN_US, TIME_MAX_US, 0, -1])
def test_times_within_are_kept(value: int) -> None:
    assert micros(value) == value


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=10))
def test_finite_floats_pass_unchanged(column: list[float | None]) -> None:
    bad: Bad = {}
    assert convert(Column("score", "float"), list(column), bad) == column
    assert bad == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN", "Infinity", "-Infinity", "x", ""])
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    bad: Bad = {}
    assert convert(Column("score", "float"), [1.5, value, None], bad) == [1.5, None, None]
    assert bad[1].reason == "not_finite"


def test_numbers_as_text_are_numbers() -> None:
    assert finite("1.25") == 1.25
    assert convert(Column("score", "float"), [2.0, "0.1", None], {}) == [2.0, 0.1, None]


def test_huge_finite_floats_whose_sum_is_infinite_pass() -> None:
    bad: Bad = {}
    assert convert(Column("score", "float"), [1.7e308, 1.7e308], bad) == [1.7e308, 1.7e308]
    assert bad == {}


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
