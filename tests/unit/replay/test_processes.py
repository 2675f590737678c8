"""The processes of a replay: a killed one is replaced, a failed one ends all, and none ends unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from stream.config import Settings
from stream.errors import ScorestreamError, UsageError
from stream.replay import processes as module
from stream.replay.plan import Pass, ReplayPlan, ReplayResult, Span
from stream.replay.processes import run
from stream.replay.state import Replay
from stream.supervise import Ended

SPAN = Span("s.app.scores", 0, 0, 5)
PLAN = ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", (SPAN,)), ends=(SPAN,))
KILLED = -9


class FakeChildren:
    """Processes that end with these codes, one at each look; then the next ones end in good order."""

    def __init__(self, codes: list[int]) -> None:
        self.codes = codes
        self.running = 0
        self.started = 0
        self.signals = 0

    def spawn(self) -> int:
        self.running += 1
        self.started += 1
        return self.started

    def left(self) -> bool:
        return self.running > 0

    def ended(self) -> list[Ended]:
        code = self.codes.pop(0) if self.codes else 0
        self.running -= 1
        return [Ended(self.started, code, 1.0)]

    def send(self, number: int) -> None:
        self.signals += 1

    def wait(self) -> bool:
        self.running = 0
        return True


class World:
    def __init__(self) -> None:
        self.replay = Replay(PLAN)
        self.children = FakeChildren([])
        self.stopping = threading.Event()
        self.commands: list[Any] = []


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    @contextmanager
    def opened(value: Any) -> Iterator[Any]:
        yield value

    def children(command: Any, *, nice: int) -> FakeChildren:
        made.commands.append(command)
        return made.children

    topic = SimpleNamespace(get=lambda _name: made.replay)
    monkeypatch.setattr(module, "broker", lambda _settings: opened(None))
    monkeypatch.setattr(module, "ReplayTopic", lambda _broker: opened(topic))
    monkeypatch.setattr(module, "stop_event", lambda: opened(made.stopping))
    monkeypatch.setattr(module, "Children", children)
    monkeypatch.setattr(module, "_LOOK_S", 0.0)
    return made


@pytest.fixture
def start(world: World) -> Callable[..., str]:
    def call(*codes: int, processes: int = 1) -> str:
        world.children.codes = list(codes)
        return run(Settings(), "r", processes=processes, show=False)

    return call


def test_it_runs_until_all_have_ended_and_returns_the_replays_state(world: World, start: Callable[..., str]) -> None:
    world.replay.members.clear()
    assert start(0, 0, 0, processes=3) == "stopped"  # nothing was said of an end
    assert (world.children.started, len(world.commands)) == (3, 1)
    assert world.commands[0][-3:] == ["replay", "member", "r"]


def test_a_killed_process_is_replaced(world: World, start: Callable[..., str]) -> None:
    start(KILLED, KILLED, 0)
    assert world.children.started == 3


def test_a_process_that_is_killed_again_and_again_ends_the_replay(world: World, start: Callable[..., str]) -> None:
    with pytest.raises(ScorestreamError, match="ended with exit code -9"):
        start(*[KILLED] * 99)
    assert world.children.started == 1 + module._RESPAWNS


def test_a_failed_process_ends_all_and_the_text_says_how_to_go_on(world: World, start: Callable[..., str]) -> None:
    with pytest.raises(ScorestreamError, match=r"exit code 1; .*scorestream replay resume r`"):
        start(1, 0, processes=2)
    assert world.children.started == 2
    assert world.children.signals >= 2  # at the failure, and at the end


def test_after_sigterm_none_is_replaced(world: World, start: Callable[..., str]) -> None:
    world.stopping.set()
    start(KILLED, 1, processes=2)
    assert world.children.started == 2


def test_a_replay_that_has_ended_starts_no_process(world: World, start: Callable[..., str]) -> None:
    world.replay.result = ReplayResult("done", 1)
    with pytest.raises(UsageError, match="replay r is done"):
        start()
    assert world.children.started == 0
