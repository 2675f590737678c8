"""The pass that a process works on: the latest of the topic, then what came meanwhile, then the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.kafka.topic_partition import TP
from stream.replay.passes import Passes
from stream.replay.plan import Pass, ReplayPlan, ReplayResult, Span
from stream.replay.state import Replay

SPAN = Span("s.app.scores", 0, 0, 5)
PLAN = ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", (SPAN,)), ends=(SPAN,))
TAIL = Pass("tail", (Span("s.app.scores", 0, 5, 9),))


class FakeTopic:
    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        self.values: dict[str, Any] = {}

    def get(self, name: str) -> Replay:
        assert name == "r"
        return self.replay

    def put(self, values: Mapping[str, Any]) -> None:
        self.values |= values


class FakeBroker:
    def __init__(self, end: int) -> None:
        self.end = end

    def source_partitions(self) -> list[TP]:
        return [SPAN.tp]

    def ends(self, tps: list[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, self.end)


def passes(replay: Replay, *, end: int = 5) -> tuple[Passes, FakeTopic]:
    topic = FakeTopic(replay)
    broker: Any = FakeBroker(end)
    as_topic: Any = topic
    return Passes(broker, as_topic, "r"), topic


def test_a_process_that_joins_late_begins_with_the_present_pass() -> None:
    made, _ = passes(Replay(PLAN, passes=[TAIL]))
    assert (made.number, made.present) == (1, TAIL)


def test_a_later_pass_is_seen_once() -> None:
    made, topic = passes(Replay(PLAN))
    assert not made.refresh()
    topic.replay = Replay(PLAN, passes=[TAIL])
    assert made.refresh()
    assert (made.number, made.present) == (1, TAIL)
    assert not made.refresh()


def test_what_came_meanwhile_is_the_next_pass() -> None:
    made, topic = passes(Replay(PLAN), end=9)
    made.advance()
    assert topic.values == {"r/pass/1": TAIL}


def test_the_replay_ends_when_nothing_came_and_after_the_tail() -> None:
    for replay, end in ((Replay(PLAN), 5), (Replay(PLAN, passes=[TAIL]), 99)):
        made, topic = passes(replay, end=end)
        made.advance()
        (result,) = topic.values.values()
        assert isinstance(result, ReplayResult)
        assert result.state == "done"
