"""The follower: how it takes the log in while live is late, while live is held back, and where the next one begins."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from stream.cutover import follower as module
from stream.cutover.follower import Follower
from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.replay.plan import Pass, ReplayPlan, Span

SCORES, CARDS = TP("t.app.scores", 0), TP("t.app.scorecards", 0)
SPANS = tuple(Span(tp.topic, tp.partition, 0, 10) for tp in (SCORES, CARDS))
PLAN = ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", SPANS), ends=SPANS)


class World:
    """Kafka, live and the replay's work in one."""

    live_group = "live"
    broker: Any
    shards: Any

    def __init__(self) -> None:
        self.broker = self.shards = self
        self.of = lambda _database: self
        self.offsets = {SCORES: 10, CARDS: 10}
        self.live = {SCORES: 7}
        self.spans: dict[TP, tuple[int, int]] = {}
        self.worked: list[tuple[str, int]] = []
        self.looks = iter([5.0, 5.0, 0.0])

    def source_partitions(self) -> list[TP]:
        return [SCORES, CARDS]

    def starts(self, tps: Any) -> dict[TP, int]:
        return dict.fromkeys(tps, 2)

    def committed(self, tps: Any, more: Any = None) -> dict[TP, int]:
        return dict(self.offsets) if more is None else dict(self.live)

    def commit(self, offsets: Mapping[TP, int]) -> None:
        self.offsets |= offsets

    @property
    def reading(self) -> set[TP]:
        return set(self.spans)

    def add(self, spans: Mapping[TP, tuple[int, int]]) -> None:
        self.spans |= spans

    def read(self, most: int, *, timeout_s: float) -> list[Stretch]:
        found = []
        for tp, (start, end) in list(self.spans.items()):
            stop = min(end, start + most)
            messages = [SimpleNamespace(offset=lambda at=at: at) for at in range(start, stop)]
            found.append(Stretch(tp, messages, start=start, end=stop))
            self.spans[tp] = (stop, end)
            if stop == end:
                del self.spans[tp]
        return found

    def __call__(self, table: str, stretches: list[Stretch], _kind: str) -> None:
        self.worked.append((table, sum(map(len, stretches))))

    def look(self, _errors: int) -> Any:
        return SimpleNamespace(live_lag_s=next(self.looks, 0.0))

    def close(self) -> None: ...


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = World()
    monkeypatch.setattr(module, "LogReader", lambda *_, **__: made)
    monkeypatch.setattr(module, "Work", lambda *_, **__: made)
    monkeypatch.setattr(module, "Watch", lambda *_, **__: made)
    monkeypatch.setattr(module, "_LOOK_S", 0.001)
    return made


def follower(world: Any, **options: Any) -> Follower:
    return Follower(world, world, PLAN, live_lag_s=1.0, database="shadow", **options)


def test_it_follows_to_the_ends_and_commits_them(world: World) -> None:
    with follower(world) as following:
        assert following.to({SCORES: 14, CARDS: 10}, at_once=True) == 4
    assert world.worked == [("scores", 4)]
    assert world.offsets == {SCORES: 14, CARDS: 10}


def test_beside_live_it_takes_small_batches_and_pauses_while_live_is_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a live worker that is late at the first two looks
    monkeypatch.setattr(module, "_GENTLE_BATCH", 3)
    with follower(world) as following:
        # when seven messages are followed
        assert following.to({SCORES: 17}) == 7
        # then no batch has more than three, and the follower has paused
        assert [size for _, size in world.worked] == [3, 3, 1]
        assert following.rested_s > 0
        assert next(world.looks, None) is None


def test_with_a_start_of_its_own_it_commits_nothing(world: World) -> None:
    with follower(world, since={SCORES: 12}) as following:
        assert following.to({SCORES: 14}, at_once=True) == 2
    assert world.offsets == {SCORES: 10, CARDS: 10}


def test_the_next_one_begins_where_live_is(world: World) -> None:
    # given a live group that has committed one of two partitions
    with follower(world) as following:
        following.begin_next_at_live()
    # then the other begins at the start of its log
    assert world.offsets == {SCORES: 7, CARDS: 2}
