"""The rule that says whether a series grew."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from drills.soak.trend import Sample, Trend, trend

RUN_S = 7_200.0


def judged(value: Callable[[float], float], *, life: Callable[[float], int] = lambda _: 1) -> Trend:
    samples = [Sample(at_s, life(at_s), value(at_s)) for at_s in range(0, int(RUN_S), 10)]
    return trend("memory", samples, unit="MB", allowance=16, run_s=RUN_S)


def killed_each_half_hour(at_s: float) -> int:
    return int(at_s // 1_800)


def test_a_process_that_stays_is_flat() -> None:
    noise = random.Random(1)
    assert judged(lambda _: 200 + noise.uniform(-15, 15)).flat


def test_a_leak_is_not_flat_and_its_growth_is_told() -> None:
    found = judged(lambda at_s: 200 + at_s / 100)
    assert not found.flat
    assert found.growth == pytest.approx(36)
    assert found.limit == pytest.approx(23.6, abs=0.1)


def test_a_leak_is_seen_though_each_kill_ends_it() -> None:
    assert not judged(lambda at_s: 200 + (at_s % 1_800) / 40, life=killed_each_half_hour).flat


def test_the_warm_up_after_a_kill_is_no_growth() -> None:
    assert judged(lambda at_s: min(200.0, 100 + at_s % 1_800), life=killed_each_half_hour).flat


def test_the_first_half_and_some_peaks_do_not_count() -> None:
    assert judged(lambda at_s: min(at_s, 3_000)).flat
    assert judged(lambda at_s: 900 if at_s % 300 < 60 else 100).flat


def test_what_shrinks_is_flat() -> None:
    assert judged(lambda at_s: 8_000 - at_s).flat


def test_a_series_that_ended_before_the_second_half_is_not_flat() -> None:
    found = trend("lag", [Sample(10, 0, 1), Sample(20, 0, 1)], unit="s", allowance=1, run_s=RUN_S)
    assert found.growth is None
    assert not found.flat
