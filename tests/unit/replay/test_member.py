"""One process of a replay over systems in memory: it reads its lanes, commits what is done, and ends the replay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import UsageError
from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.replay import member as module
from stream.replay.lanes import ADVANCE
from stream.replay.member import Member
from stream.replay.plan import MemberReport, Pass, ReplayControl, ReplayPlan, ReplayResult, Span
from stream.replay.state import Replay
from stream.replay.tally import Worked
from stream.settings_sections import ReplaySettings, RetrySettings
from stream.topic_names import TopicNames

SCORES = [Span("scorestream.app.scores", lane, 0, 5 + lane) for lane in range(3)]
PLAN = ReplayPlan(
    name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", tuple(SCORES)), ends=tuple(SCORES)
)


class FakeMessage:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __len__(self) -> int:
        return 1

    def offset(self) -> int:
        return self._offset


class World:
    """Kafka and Postgres as one process sees them."""

    def __init__(self) -> None:
        self.replay = Replay(PLAN)
        self.committed = {span.tp: span.start for span in SCORES}
        self.ends = {span.tp: span.end for span in SCORES}
        self.worked: list[tuple[str, str, int]] = []
        self.taken: set[int] = set()  # lanes of other processes
        self.on_claim: Callable[[int], None] = lambda _: None
        self.fault: Exception | None = None
        self.begun: dict[TP, tuple[int, int]] = {}  # partition -> where its reading began, and what it had reached


class FakeTopic:
    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> FakeTopic:
        return self

    def __exit__(self, *_: object) -> None: ...

    def get(self, name: str) -> Replay:
        return self._world.replay

    def put(self, values: Mapping[str, Any]) -> None:
        for value in values.values():
            if isinstance(value, Pass):
                self._world.replay.passes.append(value)
            elif isinstance(value, ReplayResult):
                self._world.replay.result = value
            elif isinstance(value, MemberReport):
                self._world.replay.members[value.member] = value


class FakeReader:
    def __init__(self, world: World) -> None:
        self._world = world
        self._spans: dict[TP, tuple[int, int]] = {}

    def __enter__(self) -> FakeReader:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def reading(self) -> set[TP]:
        return set(self._spans)

    def add(self, spans: Mapping[TP, tuple[int, int]]) -> None:
        self._spans |= spans

    def read(self, room: int, *, timeout_s: float) -> list[Stretch]:
        found = [
            Stretch(tp, [FakeMessage(offset) for offset in range(start, end)], start=start, end=end)
            for tp, (start, end) in self._spans.items()
        ]
        self._spans.clear()
        return found

    def committed(self, tps: Sequence[TP]) -> dict[TP, int]:
        return {tp: self._world.committed[tp] for tp in tps if tp in self._world.committed}

    def commit(self, offsets: Mapping[TP, int]) -> None:
        self._world.committed |= offsets

    def drop(self, tps: Mapping[TP, int]) -> None:
        for tp in tps:
            self._spans.pop(tp, None)


class FakeLanes:
    def __init__(self, world: World) -> None:
        self._world = world
        self.held: set[int] = set()

    def __enter__(self) -> FakeLanes:
        return self

    def __exit__(self, *_: object) -> None: ...

    def claim(self, lane: int) -> bool:
        self._world.on_claim(lane)
        if lane in self._world.taken:
            return False
        self.held.add(lane)
        return True

    def release(self, lane: int) -> None:
        self.held.discard(lane)

    def check(self) -> set[int]:
        return set()


class FakeBroker:
    topics = TopicNames("s", "app", "s.dead-letters")

    def __init__(self, world: World) -> None:
        self._world = world

    def source_partitions(self) -> list[TP]:
        return sorted(self._world.ends)

    def ends(self, tps: Sequence[TP]) -> dict[TP, int]:
        return dict(self._world.ends)

    def close(self) -> None: ...


class FakeWatch:
    live_runs = False

    def due(self) -> bool:
        return False

    def close(self) -> None: ...


class FakeWork:
    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, table: str, stretches: Sequence[Stretch], kind: str) -> Worked:
        if self._world.fault is not None:
            raise self._world.fault
        messages = sum(map(len, stretches))
        self._world.worked.append((kind, table, messages))
        return Worked(messages, matched=messages, rows=messages)

    def begin(self, offsets: Mapping[TP, int], reached: Mapping[TP, int]) -> None:
        self._world.begun |= {tp: (offset, reached.get(tp, 0)) for tp, offset in offsets.items()}

    def close(self) -> None: ...


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "ReplayTopic", lambda *_, **__: FakeTopic(made))
    monkeypatch.setattr(module, "LogReader", lambda *_, **__: FakeReader(made))
    monkeypatch.setattr(module, "reached_before", lambda _broker, offsets, *_, **__: dict.fromkeys(offsets, 7))
    monkeypatch.setattr(module, "Lanes", lambda *_, **__: FakeLanes(made))
    monkeypatch.setattr(module, "Watch", lambda *_, **__: FakeWatch())
    monkeypatch.setattr(module, "Work", lambda *_, **__: FakeWork(made))
    return made


def _member(world: World, stopping: threading.Event | None = None) -> Member:
    stores: Any = SimpleNamespace(epochs=None, broker=FakeBroker(world), postgres=None, shards=None)
    clients: Any = None
    return Member(
        stores,
        clients,
        "r",
        own=ReplaySettings(),
        retry=RetrySettings(),
        guard=lambda: DeadLetterGuard(share=0.5, window=1_000),
        stopping=stopping or threading.Event(),
    )


def _messages(world: World, kind: str) -> int:
    return sum(messages for of, _, messages in world.worked if of == kind)


def test_a_process_alone_reads_all_lanes_and_ends_the_replay(world: World) -> None:
    assert _member(world).run() == "done"
    assert _messages(world, "main") == 5 + 6 + 7
    assert world.committed == world.ends
    (report,) = world.replay.members.values()
    assert (report.ended, report.reindexed, report.lanes) == (True, 18, [])


def test_what_came_meanwhile_is_the_tail(world: World) -> None:
    world.ends[SCORES[0].tp] = 9
    assert _member(world).run() == "done"
    assert _messages(world, "tail") == 4
    assert world.committed == world.ends


def test_a_process_goes_on_from_the_committed_offsets(world: World) -> None:
    world.committed |= {SCORES[0].tp: 5, SCORES[1].tp: 4}
    _member(world).run()
    assert _messages(world, "main") == 2 + 7
    # and knows what each partition had reached there
    assert world.begun[SCORES[1].tp] == (4, 7)


def test_lanes_of_others_are_left_to_them(world: World) -> None:
    world.taken = {0, 1}
    stopping = threading.Event()
    member = _member(world, stopping)
    timer = threading.Timer(0.3, stopping.set)
    timer.start()
    member.run()
    assert _messages(world, "main") == 7
    assert world.committed[SCORES[0].tp] == 0


def test_a_cancelled_replay_is_left_alone(world: World) -> None:
    world.replay.control = ReplayControl("cancelled")
    assert _member(world).run() == "cancelled"
    assert not world.worked


def test_offsets_that_expired_end_the_process(world: World) -> None:
    del world.committed[SCORES[1].tp]
    with pytest.raises(UsageError, match="no longer has the offsets"):
        _member(world).run()
    (report,) = world.replay.members.values()
    assert report.ended
    assert "no longer has the offsets" in report.error


def test_a_batch_that_fails_is_not_committed(world: World) -> None:
    world.fault = UsageError("no")
    with pytest.raises(UsageError, match="no"):
        _member(world).run()
    assert all(offset == 0 for offset in world.committed.values())


def test_a_pass_that_another_process_has_just_started_is_done_before_the_replay_ends(world: World) -> None:
    # given a process that takes the lock of the next pass right after another one has started that pass
    tail = Span(*SCORES[0].tp, 5, 9)
    world.ends[SCORES[0].tp] = 9

    def another(lane: int) -> None:
        if lane == ADVANCE and not world.replay.passes:
            world.replay.passes.append(Pass("tail", (tail,)))

    world.on_claim = another
    # when
    assert _member(world).run() == "done"
    # then
    assert _messages(world, "tail") == 4
    assert world.committed == world.ends
