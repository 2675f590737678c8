"""The orders of `scorestream backfill`: what is refused, with which way out, and what is written to the topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from stream.backfill import control as module
from stream.backfill import plan as backfill_plan
from stream.backfill.control import BackfillRequest, BackfillSystems, pause, plan, resume, start, status, stop
from stream.backfill.plan import BackfillPlan, Window
from stream.backfill.snapshot_watch import CORRELATION
from stream.backfill.state import Backfill, BackfillControl, BackfillResult, DriverReport, Signal, StepDone
from stream.connect.rest import ConnectorStatus, Task
from stream.errors import ConnectError, UsageError
from stream.scope import Scope
from stream.tables import SIGNAL
from stream.times import DAY_US, parse_time
from stream.topic_names import TopicNames

JAN = parse_time("2026-01-01")
TOPICS = TopicNames("s", "app", "dl")
CONFIG = {
    "signal.data.collection": f"app.{SIGNAL}",
    "notification.sink.topic.name": TOPICS.notifications,
    "signal.enabled.channels": "source,kafka",
    "notification.enabled.channels": "sink",
    "incremental.snapshot.chunk.size": "512",
}


def made(name: str) -> BackfillPlan:
    of = backfill_plan.windows(JAN, JAN + DAY_US, size_s=86_400)
    return BackfillPlan(name, (), ("scores",), of, backfill_plan.steps(of, ("scores",), {("scores", 1): 9}), 512, 0)


def wanted(name: str | None = "b", *, window_s: float | None = 86_400, **scope: Any) -> BackfillRequest:
    return BackfillRequest(name, Scope(**scope), window_s, ("scorecards", "scores"))


@dataclass
class World:
    """The topic, Postgres, Debezium and Connect."""

    held: dict[str, Backfill] = field(default_factory=dict)
    put: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    locked: bool = False  # by another process
    config: dict[str, str] | None = field(default_factory=lambda: dict(CONFIG))
    state: str = "RUNNING"
    offset: dict[str, Any] = field(default_factory=dict)
    span: tuple[int, int] | None = (JAN + 5, JAN + 3 * DAY_US + 7)
    driven: list[str] = field(default_factory=list)

    # Connect
    connector = "c"

    def status(self, name: str) -> ConnectorStatus:
        task = Task(0, self.state, "w", "java.lang.Broken\n\tat" if self.state == "FAILED" else None)
        return ConnectorStatus(name, "RUNNING" if self.state == "FAILED" else self.state, "w", (task,))

    def offsets(self, name: str) -> dict[str, Any]:
        return self.offset


class FakeTopic:
    def __init__(self, world: World) -> None:
        self._world = world

    def __enter__(self) -> FakeTopic:
        return self

    def __exit__(self, *_: object) -> None: ...

    def refresh(self) -> dict[str, Backfill]:
        return self._world.held

    def get(self, name: str) -> Backfill:
        return self._world.held[name]

    def put(self, values: Mapping[str, Any]) -> None:
        self._world.put |= values


class FakeSignals:
    def __init__(self, world: World) -> None:
        self._world = world

    def check(self) -> None: ...

    def lock(self) -> bool:
        return not self._world.locked

    def send(self, signal_id: str, kind: str, data: str) -> int:
        self._world.sent.append(f"{signal_id.rpartition('/')[0]} {kind}")
        return 1


class FakeCounts:
    def __init__(self, world: World) -> None:
        self._world = world

    def check_customers(self, customers: Sequence[str]) -> None: ...

    def span(self, customers: Sequence[str]) -> tuple[int, int] | None:
        return self._world.span

    def rows(self, tables: Sequence[str], of: Sequence[Window], customers: object) -> dict[tuple[str, int], int]:
        return {(table, window.number): 4 for table in tables for window in of}


class FakeConnect:
    def __init__(self, world: World) -> None:
        self.connector = world.connector
        self.status = world.status
        self.offsets = world.offsets
        self._world = world

    def config(self, name: str) -> dict[str, str] | None:
        return self._world.config


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()

    def drive(_systems: object, backfill: Backfill, *_: object, **__: object) -> None:
        found.driven.append(backfill.plan.name)

    monkeypatch.setattr(module, "BackfillTopic", lambda _broker: FakeTopic(found))
    monkeypatch.setattr(module, "RowCounts", lambda _postgres: FakeCounts(found))
    monkeypatch.setattr(module, "ensure_topics", lambda _broker: None)
    monkeypatch.setattr(module, "_drive", drive)
    monkeypatch.setattr(module, "_status", lambda _broker, backfill: backfill.plan.name)
    return found


@pytest.fixture
def systems(world: World) -> BackfillSystems:
    class Outside:
        topics = TOPICS
        schema = "app"

    outside: Any = Outside()
    signals: Any = FakeSignals(world)
    connect: Any = FakeConnect(world)
    return BackfillSystems(outside, signals, connect, outside, retry=outside)


def test_windows_without_bounds_are_whole_days_around_the_rows(systems: BackfillSystems) -> None:
    found = plan(systems, wanted())
    assert (found.windows[0].start_us, found.windows[-1].end_us) == (JAN, JAN + 4 * DAY_US)
    assert (len(found.windows), found.chunk, found.rows) == (4, 512, 2 * 4 * 4)
    assert found.tables == ("scorecards", "scores")


def test_given_bounds_and_one_window_are_taken_as_they_are(systems: BackfillSystems) -> None:
    assert plan(systems, wanted(start_us=JAN + 9)).windows[0].start_us == JAN + 9
    assert plan(systems, wanted(window_s=None)).windows == (Window(1, None, None),)


def test_a_customer_without_rows_has_a_plan_without_windows(world: World, systems: BackfillSystems) -> None:
    world.span = None
    found = plan(systems, wanted())
    assert (found.windows, found.steps) == ((), ())


def test_a_backfill_without_a_name_has_the_time_as_its_name(systems: BackfillSystems) -> None:
    assert backfill_plan.NAME.fullmatch(plan(systems, wanted(None)).name)
    with pytest.raises(UsageError, match="'A b' is not a valid backfill name"):
        plan(systems, wanted("A b"))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Backfill(made("old")), "backfill old is not at its end: .*resume old"),
        (Backfill(made("old"), driver=DriverReport("h", 1, 2**60)), "backfill old is under way"),
        (Backfill(made("b"), result=BackfillResult(9, 1)), "there is a backfill 'b' already"),
    ],
)
def test_a_second_backfill_is_refused(world: World, systems: BackfillSystems, other: Backfill, words: str) -> None:
    world.held = {other.plan.name: other}
    with pytest.raises(UsageError, match=words):
        plan(systems, wanted())


@pytest.mark.parametrize(
    "ended",
    [Backfill(made("old"), result=BackfillResult(9, 1)), Backfill(made("old"), control=BackfillControl("stop"))],
)
def test_one_that_is_over_is_in_nobodys_way(world: World, systems: BackfillSystems, ended: Backfill) -> None:
    world.held = {"old": ended}
    assert plan(systems, wanted()).name == "b"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("signal.data.collection", "other.signals"),
        ("notification.sink.topic.name", "x"),
        ("signal.enabled.channels", "kafka"),
    ],
)
def test_a_connector_that_takes_no_signals_is_refused(
    world: World, systems: BackfillSystems, key: str, value: str
) -> None:
    assert world.config is not None
    world.config[key] = value
    with pytest.raises(UsageError, match=rf"takes no signals \({key}\): `scorestream connectors apply`"):
        plan(systems, wanted())


@pytest.mark.parametrize(("state", "way"), [("PAUSED", "resume"), ("FAILED", "restart")])
def test_a_connector_that_does_not_run_is_an_error_with_the_command(
    world: World, systems: BackfillSystems, state: str, way: str
) -> None:
    world.state = state
    with pytest.raises(ConnectError, match=f"does not run .*scorestream connectors {way}`"):
        plan(systems, wanted())
    world.config = None
    with pytest.raises(UsageError, match="there is no connector c"):
        plan(systems, wanted())


def test_a_start_keeps_the_plan_before_it_drives(world: World, systems: BackfillSystems) -> None:
    of = made("b")
    start(systems, of, stopping=threading.Event())
    assert world.put["b/plan"] is of
    assert world.put["b/control"].wanted == "run"
    assert world.driven == ["b"]


def test_a_start_beside_another_driver_or_snapshot_is_refused(world: World, systems: BackfillSystems) -> None:
    world.locked = True
    world.held = {"old": Backfill(made("old"), driver=DriverReport("h", 7, int(time.time() * 1000)))}
    with pytest.raises(UsageError, match=r"under way: old \(process 7 on h\)"):
        start(systems, made("b"), stopping=threading.Event())
    world.locked = False
    world.offset = {CORRELATION: "by-hand/1"}
    with pytest.raises(UsageError, match="Debezium reads an incremental snapshot already, of signal by-hand/1"):
        start(systems, made("b"), stopping=threading.Event())
    assert not world.put


def test_resume_goes_on_here_and_wakes_a_paused_snapshot(world: World, systems: BackfillSystems) -> None:
    world.held = {"b": Backfill(made("b"), control=BackfillControl("pause"))}
    world.offset = {CORRELATION: "b/1/scores/1"}
    resume(systems, None, stopping=threading.Event())
    assert world.put["b/control"].wanted == "run"
    assert (world.sent, world.driven) == (["b/resume resume-snapshot"], ["b"])


def test_resume_leaves_the_work_to_the_process_that_has_it(world: World, systems: BackfillSystems) -> None:
    world.locked = True
    world.held = {"b": Backfill(made("b"), driver=DriverReport("h", 7, int(time.time() * 1000)))}
    assert resume(systems, "b", stopping=threading.Event()) is None
    assert (world.sent, world.driven) == (["b/resume resume-snapshot"], [])


def test_resume_needs_a_backfill_that_is_not_done(world: World, systems: BackfillSystems) -> None:
    with pytest.raises(UsageError, match="none was ever started"):
        resume(systems, None, stopping=threading.Event())
    world.held = {"b": Backfill(made("b"), result=BackfillResult(9, 1))}
    with pytest.raises(UsageError, match="all that were started are done"):
        resume(systems, None, stopping=threading.Event())
    with pytest.raises(UsageError, match="backfill b is done"):
        resume(systems, "b", stopping=threading.Event())


def test_pause_is_an_order_and_a_signal(world: World, systems: BackfillSystems) -> None:
    world.held = {"a": Backfill(made("a"), control=BackfillControl("stop")), "b": Backfill(made("b"))}
    assert pause(systems, None) == "b"  # the newest
    assert (world.put["b/control"].wanted, world.sent) == ("pause", ["b/pause pause-snapshot"])
    world.held["b"].control = BackfillControl("stop")
    with pytest.raises(UsageError, match="nothing to pause"):
        pause(systems, "b")


@pytest.mark.parametrize(
    ("signal", "done", "offset", "sent"),
    [
        (None, {}, {}, []),  # nothing was begun
        (Signal(1, 1, 0, 0), {}, {}, ["b/stop stop-snapshot"]),  # about to be read
        (Signal(1, 1, 0, 0), {1: StepDone(9, 1.0, 0)}, {}, []),  # between two steps
        (None, {}, {CORRELATION: "b/1/scores/1"}, ["b/stop stop-snapshot"]),
        (Signal(1, 1, 0, 0), {}, {CORRELATION: "by-hand"}, []),  # the snapshot of another program
    ],
)
def test_stop_ends_only_its_own_snapshot(
    world: World, systems: BackfillSystems, signal: Signal | None, done: Any, offset: dict[str, Any], sent: list[str]
) -> None:
    world.held = {"b": Backfill(made("b"), signal=signal, done=done)}
    world.offset = offset
    assert stop(systems, None) == "b"
    assert (world.put["b/control"].wanted, world.sent) == ("stop", sent)
    world.held["b"].result = BackfillResult(9, 1)
    with pytest.raises(UsageError, match="nothing to stop"):
        stop(systems, "b")


def test_status_is_that_of_the_newest_or_of_the_named_one(world: World, systems: BackfillSystems) -> None:
    assert status(systems.broker, None) is None
    world.held = {"a": Backfill(made("a")), "b": Backfill(made("b"))}
    assert status(systems.broker, None) == "b"
    assert status(systems.broker, "a") == "a"
