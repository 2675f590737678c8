"""Backfills as the monitor shows them: rows of finished steps, and whether a process works on one."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from stream.backfill.plan import BackfillPlan, steps, windows
from stream.backfill.state import Backfill, BackfillResult, DriverReport, StepDone
from stream.kafka.topic_partition import TP
from stream.monitor.sources import backfills as module
from stream.monitor.sources.backfills import SHOWN_S, BackfillSource
from stream.times import DAY_US


def backfill(name: str, **state: Any) -> Backfill:
    of = windows(0, 20 * DAY_US, size_s=10 * 86_400)
    return Backfill(
        BackfillPlan(name, (), ("scores",), of, steps(of, ("scores",), {("scores", n): 100 for n in (1, 2)}), 50, 0),
        **state,
    )


class World:
    """Brokers, and the backfills' topic; None = there is no such topic."""

    topics = SimpleNamespace(backfills="backfills")

    def __init__(self, *backfills: Backfill) -> None:
        self.backfills: tuple[Backfill, ...] | None = backfills
        self.opened = self.closed = 0

    def __call__(self, _broker: Any) -> World:
        self.opened += 1
        return self

    def partitions(self, _topics: Any) -> list[TP]:
        return [] if self.backfills is None else [TP("backfills", 0)]

    def refresh(self) -> dict[str, Backfill]:
        return {each.plan.name: each for each in self.backfills or ()}

    def close(self) -> None:
        self.closed += 1


def source(monkeypatch: pytest.MonkeyPatch, world: Any) -> BackfillSource:
    monkeypatch.setattr(module.backfill_state, "BackfillTopic", world)
    return BackfillSource(world)


def test_a_reader_creates_no_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.backfills = None
    assert source(monkeypatch, world).read() == []
    assert world.opened == 0


def test_rows_are_those_of_finished_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # given one of two steps read, in 4 s, by a process that lives
    driver = DriverReport("host", 1, int(time.time() * 1000))
    looks = source(monkeypatch, World(backfill("may", done={1: StepDone(100, 4.0, 0)}, driver=driver)))
    # when the monitor looks
    (found,) = looks.read()
    # then the other one is left, at the same rate
    assert (found.name, found.running) == ("may", True)
    assert (found.done, found.total, found.per_s, found.eta_s) == (100, 200, 25.0, 4.0)


def test_one_that_was_interrupted_is_shown_and_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = source(monkeypatch, World(backfill("may"))).read()
    assert (found.running, found.eta_s) == (False, None)


def test_one_that_ended_is_shown_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = [
        backfill(str(ago), result=BackfillResult(200, int((time.time() - ago) * 1000))) for ago in (5.0, SHOWN_S + 5)
    ]
    (found,) = source(monkeypatch, World(*ended)).read()
    assert (found.name, found.running) == ("5.0", False)


def test_closing_closes_the_topic_and_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(backfill("may"))
    looks = source(monkeypatch, world)
    looks.read()
    looks.close()
    assert world.closed == 2
