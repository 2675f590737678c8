"""Stages of a batch: each second counts for one of them."""

from __future__ import annotations

import time

import pytest

from stream.pipeline.stages import StageClock


def test_time_counts_for_the_stage_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a batch that took 2 s before, and marks at these times
    times = iter([10.0, 11.0, 14.0, 14.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    clock = StageClock(decode=2.0)
    for stage in ("look_up", "write", "look_up"):
        clock.mark(stage)
    # then what a stage took several times is added up
    assert clock.seconds == {"decode": 2.0, "look_up": 1.5, "write": 3.0}
