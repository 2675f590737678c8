"""The driver against a made-up Debezium: order, restarts, orders of the operator, a snapshot that is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stream.backfill.drive import Drive, Stopped
from stream.backfill.notifications import Notification, parse
from stream.backfill.plan import BackfillPlan, steps, windows
from stream.backfill.snapshot_watch import CORRELATION, SnapshotWatch
from stream.backfill.state import Backfill, BackfillControl, Signal, StepDone
from stream.connect.rest import ConnectorStatus, Task
from stream.errors import PostgresUnavailable, Stop
from stream.postgres.defining_query import SourceSql
from stream.progress import Progress
from stream.settings_sections import RetrySettings
from stream.times import DAY_US

RETRY = RetrySettings(initial_s=0.001, max_s=0.002)
SOURCE = SourceSql("app", {("scorecards", "conversation_id"): "text", ("chats", "conversation_id"): "text"})


def note(signal: str, kind: str, **data: str) -> Notification:
    value = {"id": signal, "aggregate_type": "Incremental Snapshot", "type": kind, "additional_data": data}
    found = parse(json.dumps(value).encode())
    assert found is not None
    return found


class Debezium:
    """Debezium: topic, signals, notifications and Connect in one: it answers every signal as `answer` says.

    Its clock goes on by a second with each look at the notifications.
    """

    def __init__(self, backfill: Backfill) -> None:
        self.backfill = backfill
        self.sent: list[tuple[str, str]] = []
        self.written: dict[str, Any] = {}
        self.told: list[Notification] = []
        self.answer: Callable[[str], list[Notification]] = read
        self.offset: dict[str, Any] = {"lsn": 10**9}
        self.state = "RUNNING"
        self.locked = True
        self.now = 0.0
        self.on_poll: Callable[[], None] = lambda: None
        self.away = 0

    # topic
    def get(self, name: str) -> Backfill:
        return self.backfill

    def put(self, values: dict[str, Any]) -> None:
        self.written |= values

    # signals
    def send(self, signal_id: str, kind: str, data: str) -> int:
        if self.away:
            self.away -= 1
            raise PostgresUnavailable("away")
        if (signal_id, kind) not in self.sent:
            self.sent.append((signal_id, kind))
            if kind == "execute-snapshot":
                self.told += self.answer(signal_id)
        return 1

    def holds(self) -> bool:
        return self.locked

    # notifications
    def end(self) -> int:
        return 0

    def poll(self, timeout_s: float) -> list[Notification]:
        self.now += 1
        self.on_poll()
        found, self.told = self.told, []
        return found

    def all(self) -> list[Notification]:
        return self.poll(0)

    # connect
    connector = "scorestream"

    def status(self, name: str) -> ConnectorStatus:
        return ConnectorStatus(name, self.state, "w", (Task(0, self.state, "w"),))

    def offsets(self, name: str) -> dict[str, Any]:
        return self.offset

    def run(self, stopping: threading.Event | None = None) -> int:
        fake: Any = self
        watch = SnapshotWatch("b", fake, fake, schema="app", give_up_s=RETRY.give_up_s, clock=lambda: self.now)
        return Drive(
            self.backfill, retry=RETRY, source=SOURCE, topic=fake, signals=fake, watch=watch,
            progress=Progress("t", show=False), stopping=stopping or threading.Event(), clock=lambda: self.now,
        ).run()  # fmt: skip

    @property
    def snapshots(self) -> list[str]:
        return [signal for signal, kind in self.sent if kind == "execute-snapshot"]


def read(signal: str) -> list[Notification]:
    return [
        note(signal, "STARTED"),
        note(signal, "IN_PROGRESS"),
        note(signal, "TABLE_SCAN_COMPLETED", total_rows_scanned="7", status="SUCCEEDED"),
        note(signal, "COMPLETED"),
    ]


@pytest.fixture
def debezium() -> Debezium:
    of = windows(0, 2 * DAY_US, size_s=86_400)
    found = steps(of, ("scorecards", "scores"), {(t, n): 7 for t in ("scorecards", "scores") for n in (1, 2)})
    return Debezium(Backfill(BackfillPlan("b", (), ("scorecards", "scores"), of, found, 5, 0)))


def test_one_signal_after_another(debezium: Debezium) -> None:
    debezium.away = 2  # Postgres is away for a moment
    assert debezium.run() == 28
    assert debezium.snapshots == ["b/1/scorecards/1", "b/2/scores/1", "b/3/scorecards/1", "b/4/scores/1"]
    assert debezium.written["b/result"].rows == 28
    assert debezium.written["b/driver"].ended


def test_resumed_it_goes_on_with_the_first_step_that_is_not_read(debezium: Debezium) -> None:
    # given a process that was killed while step 2 was read, which Debezium has ended by itself
    debezium.backfill.done = {1: StepDone(7, 1, 0)}
    debezium.backfill.signal = Signal(2, 1, 0, 0)
    debezium.sent = [("b/2/scores/1", "execute-snapshot")]
    debezium.told = read("b/2/scores/1")
    # when another goes on, step 2 is not read again
    assert debezium.run() == 28
    assert debezium.snapshots == ["b/2/scores/1", "b/3/scorecards/1", "b/4/scores/1"]


def test_killed_before_the_signal_was_written_it_is_written(debezium: Debezium) -> None:
    debezium.backfill.signal = Signal(1, 1, 0, 0)
    assert debezium.run() == 28
    assert debezium.snapshots[0] == "b/1/scorecards/1"


def test_a_step_that_was_stopped_is_read_again_under_another_id(debezium: Debezium) -> None:
    debezium.backfill.signal = Signal(1, 1, 0, 0)
    debezium.sent = [("b/1/scorecards/1", "execute-snapshot")]
    debezium.told = [note("b/1/scorecards/1", "STARTED"), note("b/1/scorecards/1", "ABORTED")]
    assert debezium.run() == 28
    assert debezium.snapshots[:2] == ["b/1/scorecards/1", "b/1/scorecards/2"]


def test_what_a_stop_left_out_is_read_after_a_resume(debezium: Debezium) -> None:
    # given a step that was stopped: Debezium ends the signal, but never said that the table was read to its end
    debezium.backfill.done = {1: StepDone(7, 1, 0)}
    debezium.backfill.signal = Signal(2, 1, 0, 0)
    debezium.sent = [("b/2/scores/1", "execute-snapshot")]
    debezium.told = [note("b/2/scores/1", kind) for kind in ("STARTED", "IN_PROGRESS", "COMPLETED")]
    # then the step is read again under another id: Debezium takes none twice
    assert debezium.run() == 28
    assert debezium.snapshots == ["b/2/scores/1", "b/2/scores/2", "b/3/scorecards/1", "b/4/scores/1"]


def test_a_snapshot_that_debezium_lost_is_sent_again(debezium: Debezium) -> None:
    # given a Connect that forgot the first signal's snapshot: its offsets have passed it and name none
    debezium.answer = lambda signal: [note(signal, "STARTED")] if signal == "b/1/scorecards/1" else read(signal)
    assert debezium.run() == 28
    assert debezium.snapshots[:2] == ["b/1/scorecards/1", "b/1/scorecards/2"]


def test_a_slow_chunk_is_waited_for(debezium: Debezium) -> None:
    # given a first chunk that takes minutes, in which Connect commits nothing
    debezium.answer = lambda signal: [note(signal, "STARTED")]
    debezium.offset = {"lsn": 0}

    def later() -> None:
        if debezium.now == 300:
            debezium.answer = read
            debezium.told += read("b/1/scorecards/1")

    debezium.on_poll = later
    assert debezium.run() == 28
    assert debezium.snapshots[:2] == ["b/1/scorecards/1", "b/2/scores/1"]


def test_a_signal_without_an_echo_ends_it(debezium: Debezium) -> None:
    debezium.answer = lambda _: []
    with pytest.raises(Stop, match=r"took no notice.*connectors apply"):
        debezium.run()


def test_a_connector_that_stays_away_ends_it(debezium: Debezium) -> None:
    debezium.answer = lambda _: []
    debezium.state = "PAUSED"
    with pytest.raises(Stop, match=r"does not run.*backfill resume b"):
        debezium.run()
    assert debezium.now > 600


def test_the_last_rows_are_waited_for_until_connect_has_committed_them(debezium: Debezium) -> None:
    looks: list[str] = []

    def offsets(_: str) -> dict[str, Any]:
        looks.append("look")
        debezium.now += 1
        return {"lsn": 1, CORRELATION: "b/4/scores/1"} if len(looks) < 6 else {"lsn": 1}

    debezium.offsets = offsets  # type: ignore[method-assign]
    assert debezium.run() == 28
    assert len(looks) >= 6


def test_a_failed_scan_ends_it(debezium: Debezium) -> None:
    debezium.answer = lambda signal: [note(signal, "TABLE_SCAN_COMPLETED", status="SQL_EXCEPTION")]
    with pytest.raises(Stop, match="SQL_EXCEPTION"):
        debezium.run()


def test_a_pause_that_debezium_forgot_is_ordered_again(debezium: Debezium) -> None:
    # given a pause, and a Connect that was restarted and reads on
    debezium.answer = lambda signal: [note(signal, "STARTED"), note(signal, "IN_PROGRESS")]

    def orders() -> None:
        if debezium.now == 5:
            debezium.backfill.control = BackfillControl("pause")
        if debezium.now == 60:
            debezium.backfill.control = BackfillControl("run")
            debezium.answer = read
            debezium.told += read("b/1/scorecards/1")

    debezium.on_poll = orders
    assert debezium.run() == 28
    assert "pause-snapshot" in {kind for _, kind in debezium.sent}
    assert debezium.snapshots.count("b/1/scorecards/1") == 1


def test_stop_and_sigterm_say_how_to_go_on(debezium: Debezium) -> None:
    debezium.backfill.control = BackfillControl("stop")
    with pytest.raises(Stopped, match=r"stopped by the operator.*backfill resume b"):
        debezium.run()
    assert not debezium.snapshots
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped, match="backfill resume b"):
        debezium.run(stopping)
    assert debezium.written["b/driver"].ended


def test_only_the_holder_of_the_lock_sends(debezium: Debezium) -> None:
    debezium.locked = False
    with pytest.raises(Stopped, match="another process has taken over"):
        debezium.run()
    assert not debezium.snapshots
