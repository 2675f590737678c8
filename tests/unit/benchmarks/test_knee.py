"""The ramp: which rates it asks for, and where it says the knee is."""

from __future__ import annotations

import pytest

from benchmarks.knee import UP, Step, knee_of, ramp


def system(capacity: float, *, writer: float = 100_000) -> list[Step]:
    """The ramp over a system that holds up to `capacity`, with a writer that reaches `writer` changes/s."""
    return ramp(lambda rate: Step(rate, min(rate, writer), 100.0, 500.0 if rate <= capacity else None))


@pytest.mark.parametrize(("capacity", "knee"), [(1_500, 1_400), (1_000, 1_000), (600, 500), (100, 0), (9_000, 8_000)])
def test_the_knee_is_the_highest_rate_that_holds(capacity: float, knee: int) -> None:
    assert knee_of(system(capacity)) == knee


def test_nothing_is_asked_beyond_the_first_rate_that_fails() -> None:
    assert [each.rate for each in system(1_500)] == [*UP[:3]]


def test_a_writer_at_its_limit_ends_the_ramp_at_what_it_wrote() -> None:
    assert knee_of(system(9_000, writer=1_700)) == 1_700
