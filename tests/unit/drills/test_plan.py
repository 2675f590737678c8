"""The drill's plan and verdict, without a stack."""

from __future__ import annotations

import random
from collections import Counter

from drills.compare import FINDINGS, _differ
from drills.drill import Result, Round
from drills.faults import FAULTS, schedule


def test_the_same_seed_is_the_same_order_and_every_fault_comes() -> None:
    names = list(FAULTS)
    first = schedule(random.Random(5), names, 2 * len(names))
    assert first == schedule(random.Random(5), names, 2 * len(names))
    assert Counter(first) == dict.fromkeys(names, 2)


def test_findings_by_key() -> None:
    want = Counter({("a", "1"): 1, ("b", "2"): 1, ("c", "3"): 1})
    have = Counter({("a", "1"): 2, ("x", "2"): 1, ("d", "4"): 1})
    assert _differ(want, have, 1) == {"missing": {"3"}, "extra": {"4"}, "stale": {"2"}, "duplicates": {"1"}}


def test_what_was_not_looked_at_has_not_passed() -> None:
    clean = dict.fromkeys(FINDINGS, 0)
    recovered = Round("worker", "", 1.0, 2.0, 10)
    assert Result(1, rounds=[recovered], findings=clean, lag=0, stopped=[0, 0], asked=1).passed
    assert not Result(1, rounds=[recovered], findings=clean, lag=0, stopped=[0, 0]).passed
    assert not Result(1, rounds=[recovered], findings={}, lag=0, asked=1).passed
    assert not Result(1, rounds=[recovered], findings=clean, lag=None, asked=1).passed
    assert not Result(1, rounds=[recovered], findings=clean | {"stale": 1}, lag=0, asked=1).passed
    assert not Result(1, rounds=[Round("worker", "", 1.0, None, 10)], findings=clean, lag=0, asked=1).passed
    assert not Result(1, rounds=[recovered], findings=clean, lag=0, stopped=[1], asked=1).passed
