"""The watchdog's thread over a made-up worker: what ends the worker, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import KafkaUnavailable, Stalled
from stream.kafka.committable import PartitionProgress
from stream.kafka.topic_partition import TP
from stream.live import watchdog as module
from stream.live.watchdog import Watchdog
from testbed.universe import wait_for

SCORES = TP("scores", 3)
LIMIT_S = 0.2


class World:
    """Brokers, worker and event loop in one. Ten messages wait, and the worker does not move."""

    def __init__(self) -> None:
        self.away = False
        self.exists = True
        self.recreated: set[str] = set()
        self.looks = 0
        self.crashed: list[Exception] = []
        self.restarted: set[str] = set()
        self.assigned: Any = None
        self.app = SimpleNamespace(_consumer=object(), loop=self)

    # the brokers
    def partitions(self, _topics: Any) -> list[TP]:
        self.looks += 1
        if self.away:
            raise KafkaUnavailable("no broker")
        return [SCORES]

    def ends(self, _tps: Any) -> dict[TP, int]:
        return {SCORES: 20}

    def committed(self, _group: str, _tps: Any) -> dict[TP, int]:
        return {SCORES: 10}

    def next_messages(self, behind: Mapping[TP, Any]) -> dict[TP, Any]:
        return {tp: SimpleNamespace(waiting=self.exists) for tp in behind}

    def changed(self) -> set[str]:
        found, self.recreated = self.recreated, set()
        return found

    # the worker
    def on_assigned(self, call: Any) -> None:
        self.assigned = call

    def on_revoked(self, _call: Any) -> None: ...

    def on_stopping(self, _call: Any) -> None: ...

    def progress(self) -> dict[TP, PartitionProgress]:
        return {SCORES: PartitionProgress(position=20, committed=10, end=20, answered_at=None, waiting=10)}

    def restart_topics(self, topics: set[str]) -> None:
        self.restarted |= topics

    def crash(self, error: Exception) -> None:
        self.crashed.append(error)

    # its event loop
    def call_soon_threadsafe(self, call: Any, error: Exception) -> None:
        call(error)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the watchdog ended the process."""
    found: list[int] = []
    monkeypatch.setattr(module, "EXIT_S", 0)
    monkeypatch.setattr(module, "stacks", lambda _: [("thread main", "app.py:1 run")])
    monkeypatch.setattr(module, "os", SimpleNamespace(_exit=found.append))
    return found


@pytest.fixture
def world() -> World:
    return World()


def started(world: Any) -> Watchdog:
    watchdog = Watchdog(
        world, source=world, ids=world, group="live", topics=["scores"], limit_s=LIMIT_S, tries=lambda: {"scores": 0}
    )
    world.assigned({SCORES})
    watchdog.start()
    return watchdog


def test_a_worker_that_stands_still_is_ended_with_a_sentence(world: World, exits: list[int]) -> None:
    # given a worker whose messages wait
    started(world)
    # when nothing moves for longer than the limit
    wait_for("the end", lambda: exits, deadline_s=20)
    # then it crashes with the partition's name, and the process ends if that did not help
    (error,) = world.crashed
    assert isinstance(error, Stalled)
    assert "no progress for" in str(error)
    assert "scores[3]" in str(error)
    assert exits == [error.exit_code]


@pytest.mark.parametrize("change", [{"away": True}, {"exists": False}], ids=["no broker answers", "markers only"])
def test_an_outage_and_markers_at_the_end_are_no_stall(world: World, exits: list[int], change: dict[str, bool]) -> None:
    vars(world).update(change)
    watchdog = started(world)
    wait_for("twice the limit", lambda: world.looks > 10, deadline_s=20)
    watchdog.close()
    assert (world.crashed, exits) == ([], [])


def test_a_topic_that_was_created_again_is_read_from_its_start(world: World, exits: list[int]) -> None:
    world.exists = False
    world.recreated = {"scores"}
    watchdog = started(world)
    wait_for("the restart", lambda: world.restarted, deadline_s=20)
    watchdog.close()
    assert world.restarted == {"scores"}
