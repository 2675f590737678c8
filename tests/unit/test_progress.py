"""Progress: counts, rate, time left, and the lines of a stderr that is no terminal."""

from __future__ import annotations

import io

import pytest

from stream.progress import Progress
from stream.times import span


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_rate_and_the_time_left_are_those_of_the_last_half_minute(clock: Clock) -> None:
    # given a slow minute, then thirty fast seconds
    progress = Progress("replay", total=10_000, show=False, clock=clock)
    for _ in range(6):
        clock.now += 10
        progress.add(10)
    for _ in range(4):
        clock.now += 10
        progress.add(1_000)
    # then only the fast ones count
    assert progress.rate == pytest.approx(100)
    assert progress.eta_s == pytest.approx((10_000 - 4_060) / 100)


def test_nothing_is_known_before_anything_is_done(clock: Clock) -> None:
    assert Progress("verify", total=10, show=False, clock=clock).eta_s is None
    assert Progress("verify", show=False, clock=clock).rate == 0


def test_a_line_comes_every_few_seconds_and_at_the_end(clock: Clock) -> None:
    said = io.StringIO()
    with Progress("reindex", total=100, unit="scorecards", every_s=5, stream=said, clock=clock) as progress:
        for _ in range(10):
            clock.now += 1
            progress.add(10, failed=1)
    lines = said.getvalue().splitlines()
    assert lines == [
        "reindex: 50/100 scorecards 50% failed 5 10/s eta 0:00:05",
        "reindex: 100/100 scorecards 100% failed 10 10/s eta 0:00:00",
        "reindex: 100/100 scorecards 100% failed 10 in 10.0 s 10/s",
    ]


def test_a_resumed_job_counts_only_its_own_work_for_the_rate(clock: Clock) -> None:
    progress = Progress("purge", total=1_000, show=False, clock=clock)
    progress.start_at(900)
    clock.now += 10
    progress.add(50)
    assert progress.rate == pytest.approx(5)
    assert progress.text(final=True) == "950/1,000 95% in 10.0 s 5/s"


def test_a_failed_job_has_no_last_line(clock: Clock) -> None:
    said = io.StringIO()
    with pytest.raises(ValueError, match="broken"), Progress("x", stream=said, clock=clock):
        raise ValueError("broken")
    assert said.getvalue() == ""


def test_progress_in_lines() -> None:
    # given a clock, and a stream that is no terminal
    now = [0.0]
    out = io.StringIO()
    with Progress("reindex", total=100, unit="scorecards", stream=out, clock=lambda: now[0]) as progress:
        # when some is done, with time between
        progress.start_at(20)
        now[0] = 5.0
        progress.add(20, failed=1)
        assert progress.rate == 4
        assert progress.eta_s == 15
    # then there is a line for each few seconds, and one at the end
    assert out.getvalue().splitlines() == [
        "reindex: 40/100 scorecards 40% failed 1 4/s eta 0:00:15",
        "reindex: 40/100 scorecards 40% failed 1 in 5.0 s 4/s",
    ]
    assert span(3_725) == "1:02:05"
