"""What a worker does after an outage longer than the compaction lag: says so, repairs once, goes on after a kill."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from stream import metrics
from stream.errors import KafkaUnavailable, PostgresRefused, PostgresUnavailable
from stream.kafka.topic_partition import TP
from stream.live import outage as module
from stream.live.outage import Outage, OutageRepair, Outages, found
from testbed.universe import wait_for

SINCE = Outage(since=1_000.0, found_at=9_000.0)


class FakeOutages:
    """The note, as the topic has it."""

    group = "live"

    def __init__(self, noted: Outage | None = SINCE) -> None:
        self.noted = noted
        self.away = False

    def find(self, *, now: float) -> Outage | None:
        if self.away:
            raise KafkaUnavailable("no broker")
        return self.noted

    def open(self) -> Outage | None:
        return self.noted

    def close(self, outage: Outage, *, now: float) -> None:
        self.noted = None


class FakeLocks:
    """An advisory lock that this worker may get, and may lose."""

    def __init__(self, *, free: bool = True, lost: bool = False) -> None:
        self.free, self.lost = free, lost

    def claim(self, number: int) -> bool:
        return self.free

    def check(self) -> set[int]:
        return {0} if self.lost else set()

    def __enter__(self) -> FakeLocks:
        return self

    def __exit__(self, *_: object) -> None: ...


class Comparisons:
    """What each `verify --repair` finds."""

    def __init__(self, *, lagging: str = "", wrong: int = 0) -> None:
        self.count = 0
        self._found: Any = SimpleNamespace(
            verified=SimpleNamespace(lagging=lagging, wrong=wrong), repaired=3, clean=not lagging and not wrong
        )

    def __call__(self) -> Any:
        self.count += 1
        return self._found


def repair(outages: FakeOutages, locks: FakeLocks, compare: Comparisons) -> OutageRepair:
    return OutageRepair(outages, locks, compare)  # type: ignore[arg-type]


def test_the_one_that_has_the_lock_repairs_and_closes_the_note() -> None:
    outages, compare = FakeOutages(), Comparisons()
    assert repair(outages, FakeLocks(), compare).step()
    assert (compare.count, outages.noted) == (1, None)
    # and the next one that starts finds nothing to do
    assert repair(outages, FakeLocks(), compare).step()
    assert compare.count == 1


def test_others_wait_until_it_is_done_or_dead() -> None:
    # given another worker that has the lock
    outages, locks, compare = FakeOutages(), FakeLocks(free=False), Comparisons()
    waiting = repair(outages, locks, compare)
    assert not waiting.step()
    assert compare.count == 0
    # when that one is killed, its note is still there and its lock is free
    locks.free = True
    assert waiting.step()
    assert (compare.count, outages.noted) == (1, None)


@pytest.mark.parametrize(
    ("locks", "compare"),
    [(FakeLocks(lost=True), Comparisons()), (FakeLocks(), Comparisons(lagging="the pipeline is behind"))],
    ids=["the lock was lost", "the backlog is not gone"],
)
def test_the_note_stays_while_nothing_is_sure(locks: FakeLocks, compare: Comparisons) -> None:
    outages = FakeOutages()
    assert not repair(outages, locks, compare).step()
    assert outages.noted == SINCE


def test_what_cannot_be_repaired_does_not_repeat_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    outages = FakeOutages()
    assert repair(outages, FakeLocks(), Comparisons(wrong=2)).step()
    assert outages.noted is None
    assert "left differences" in caplog.text


def test_a_worker_says_what_it_finds_at_its_start(caplog: pytest.LogCaptureFixture) -> None:
    worker = repair(FakeOutages(), FakeLocks(free=False), Comparisons())
    worker.look()
    assert "outage longer than the compaction lag" in caplog.text
    assert metrics.OUTAGE_SINCE._value.get() == SINCE.since
    worker.close()
    metrics.OUTAGE_SINCE.set(0)


def test_a_broker_that_is_away_does_not_end_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    outages = FakeOutages()
    outages.away = True
    repair(outages, FakeLocks(), Comparisons()).look()
    assert "could not look for an outage" in caplog.text


def test_an_outage_that_cannot_be_noted_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given a partition that waited too long, and a topic of notes that takes none
    class Topic:
        def __init__(self, *_: object, **__: object) -> None: ...
        def values(self) -> dict[str, bytes]:
            return {}

        def marks(self, _: object) -> dict[TP, tuple[int, str]]:
            return {}

        def put(self, _: object) -> None:
            raise KafkaUnavailable("topic outages: not authorized")

        def __enter__(self) -> Topic:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(module, "LogReader", Topic)
    monkeypatch.setattr(module, "StateTopic", Topic)
    monkeypatch.setattr(module, "outrun", lambda *_, **__: {TP("scores", 0): 8_000.0})
    broker: Any = SimpleNamespace(
        topics=SimpleNamespace(sources=("scores",), outages="outages"), partitions=lambda _: []
    )
    # then the worker goes on, and the log says what to run
    assert Outages(broker, "live").find(now=9_000.0) is None
    assert "no worker repairs" in caplog.text
    own = [each for each in caplog.records if each.name == "stream.live.outage"]
    assert "verify --repair" in own[-1].way_out  # type: ignore[attr-defined]


def test_a_repair_that_fails_pauses_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a comparison that fails, and fails again
    def compare() -> Any:
        raise PostgresRefused("no privilege")

    failing: Any = compare
    repairing = repair(FakeOutages(), FakeLocks(), failing)
    pauses: list[float] = []

    class Ended:
        def is_set(self) -> bool:
            return len(pauses) == 9

        def wait(self, pause_s: float) -> None:
            pauses.append(pause_s)

    monkeypatch.setattr(repairing, "_ended", Ended())
    repairing._run()
    assert pauses[:3] == [5.0, 10.0, 20.0]
    assert pauses[-1] == module.LONGEST_PAUSE_S


def test_an_outage_begins_with_the_oldest_message_that_waited() -> None:
    late = {TP("scores", 0): 500.0, TP("scores", 1): 8_000.0}
    assert found(late, now=9_000.0) == SINCE


def test_a_worker_that_ends_cancels_the_comparison_under_way() -> None:
    # given a comparison whose query runs for long
    began, cancelled = threading.Event(), threading.Event()

    def compare() -> Any:
        began.set()
        assert cancelled.wait(10)
        raise PostgresUnavailable("canceling statement due to user request")

    outages = FakeOutages()
    repairing = OutageRepair(outages, FakeLocks(), compare, cancelled.set)  # type: ignore[arg-type]
    repairing.look()
    assert began.wait(10)
    # when the worker ends
    repairing.close()
    # then the thread ends, and the note stays for the next worker
    wait_for("the thread ends", lambda: not repairing.is_repairing, deadline_s=10)
    assert outages.noted == SINCE
    metrics.OUTAGE_SINCE.set(0)


@pytest.mark.parametrize(("slept_s", "looks"), [(30.0, 0), (8_000.0, 1)])
def test_a_process_that_has_slept_looks_again(slept_s: float, looks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a worker that watches, and a host that is suspended
    clock, asked, ticks = [0.0], [], [0.0, 1.0, 1.0 + slept_s, 2.0 + slept_s]

    def now() -> float:
        if ticks:
            clock[0] = ticks.pop(0)
        return clock[0]

    monkeypatch.setattr(module, "time", SimpleNamespace(time=now))
    watching = repair(FakeOutages(None), FakeLocks(), Comparisons())
    monkeypatch.setattr(watching, "look", lambda: asked.append(clock[0]))
    watching.watch(every_s=0.001)
    # when it wakes up, then it looks for an outage once
    wait_for("the host has woken up", lambda: not ticks, deadline_s=10)
    watching.close()
    assert len(asked) == looks
