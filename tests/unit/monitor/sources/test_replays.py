"""Replays as the monitor shows them: state, progress, and since when one has moved."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from stream.kafka.topic_partition import TP
from stream.monitor.sources import replays as module
from stream.monitor.sources.replays import SHOWN_S, ReplaySource
from stream.replay.plan import Pass, ReplayPlan, ReplayResult, Span
from stream.replay.state import Replay

SPAN = Span("t.app.scores", 0, 0, 100)


def replay(name: str, *, created_s: float = 0.0, ended: float | None = None) -> Replay:
    plan = ReplayPlan(name=name, group=f"g-{name}", created_ms=int(created_s * 1000), tables=("scores",),
                main=Pass("main", (SPAN,)), ends=(SPAN,))  # fmt: skip
    return Replay(plan, result=None if ended is None else ReplayResult("done", int(ended * 1000)))


class World:
    """Brokers, and the replays' topic; None = there is no such topic."""

    topics = SimpleNamespace(replays="replays")

    def __init__(self, *replays: Replay) -> None:
        self.replays: tuple[Replay, ...] | None = replays
        self.done = 40
        self.opened = 0

    def __call__(self, _broker: Any) -> World:
        self.opened += 1
        return self

    def partitions(self, _topics: Any) -> list[TP]:
        return [] if self.replays is None else [TP("replays", 0)]

    def refresh(self) -> dict[str, Replay]:
        return {each.name: each for each in self.replays or ()}

    def committed(self, _group: str, _tps: Any) -> dict[TP, int]:
        return {SPAN.tp: self.done}


def source(monkeypatch: pytest.MonkeyPatch, world: Any) -> ReplaySource:
    monkeypatch.setattr(module.replay_state, "ReplayTopic", world)
    return ReplaySource(world)


def test_a_reader_creates_no_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.replays = None
    assert source(monkeypatch, world).read() == []
    assert world.opened == 0


def test_progress_is_that_of_the_committed_offsets_and_moves_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a replay that has done 40 of 100 messages
    world = World(replay("june"))
    looks = source(monkeypatch, world)
    (first,) = looks.read()
    (second,) = looks.read()
    assert (first.total, first.done, first.eta_s) == (100, 40, None)
    assert second.moved_at == first.moved_at
    # when it commits more, then it has moved
    world.done = 41
    (third,) = looks.read()
    assert third.moved_at is not None
    assert first.moved_at is not None
    assert third.moved_at > first.moved_at


def test_a_replay_that_ended_is_shown_for_a_day_and_the_newest_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    world = World(
        replay("old", created_s=1, ended=now - SHOWN_S - 60),
        replay("ended", created_s=2, ended=now - 60),
        replay("running", created_s=3),
    )
    found = source(monkeypatch, world).read()
    assert [(each.name, each.done) for each in found] == [("running", 40), ("ended", 100)]
