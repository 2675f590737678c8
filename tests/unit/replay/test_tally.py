"""The counts of a process, as its report says them."""

from __future__ import annotations

import pytest

from stream.replay.tally import Tally, Worked


def test_counts_are_sums_of_batches() -> None:
    tally = Tally()
    for _ in range(2):
        tally.add(Worked(10, matched=6, dead_letters=1, rows=9, outcomes={"dropped": 2, "written": 3}))
    report = tally.said(ended=False)
    assert (report.reindexed, report.failed, report.matched, report.rows, report.dropped) == (18, 2, 12, 18, 4)
    assert report.outcomes == {"dropped": 4, "written": 6}
    assert report.at_ms >= report.began_ms
    assert report.rss_mb > 1


def test_the_rate_is_that_of_the_last_seconds() -> None:
    tally = Tally()
    began = tally._rates[0][0]
    tally.add(Worked(1_000))
    assert tally.per_s(began + 1) == pytest.approx(1_000)
    tally.add(Worked(100))
    tally.per_s(began + 9)
    assert tally.per_s(began + 10) == pytest.approx(0)


def test_a_process_that_ended_has_no_rate() -> None:
    tally = Tally()
    tally.add(Worked(1_000))
    report = tally.said(ended=True)
    assert (report.per_s, report.ended) == (0.0, True)
