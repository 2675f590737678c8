"""Moments, durations and sizes: what people type, and what they read."""

from __future__ import annotations

import pytest

from stream.errors import UsageError
from stream.times import (
    DAY_US,
    day_text,
    duration,
    moment,
    parse_duration,
    parse_moment,
    parse_time,
    size,
    span,
    time_text,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h30m", 9000), ("1d", 86_400), ("PT10M", 600), ("P1DT1H", 90_000), ("1.5s", 1.5)],
)
def test_a_duration_is_read_in_short_and_in_iso_form(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "P", "10 m", "-5s"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="write 90s, 10m"):
        parse_duration(text)


def test_a_date_as_an_end_includes_its_day() -> None:
    assert parse_time("2026-01-31", end=True) == parse_time("2026-02-01")
    assert parse_time("2026-01-31T00:00:00+01:00") == parse_time("2026-01-30T23:00:00")


def test_a_time_before_1970_is_negative_and_reads_back() -> None:
    assert moment(parse_time("1900-01-01")).isoformat() == "1900-01-01T00:00:00+00:00"


def test_a_moment_in_the_future_is_refused() -> None:
    assert parse_moment("now", now_ms=5_000) == 5_000
    with pytest.raises(UsageError, match="in the future"):
        parse_moment("1970-01-01T00:00:06", now_ms=5_000)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.25, "0.2 s"), (40, "40 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_a_duration_is_written_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_other_texts() -> None:
    assert (span(205), size(12_300_000), size(12), day_text(0)) == ("0:03:25", "12.3 MB", "12 B", "1970-01-01")
    assert time_text(1_767_225_600_000) == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "end", "day"),
    [
        ("2026-01-31", False, "2026-01-31"),
        ("2026-01-31", True, "2026-02-01"),
        ("2026-01-31T00:00", True, "2026-01-31"),
        ("2026-01-31T00:00:00+02:00", False, "2026-01-30"),
    ],
)
def test_times_of_a_window(text: str, end: bool, day: str) -> None:
    assert day_text(parse_time(text, end=end) // DAY_US) == day


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="neither a date"):
        parse_time("yesterday")
