"""The monitor over made-up pollers: what it keeps, when it concludes, and when it is ready."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from stream.kafka.topic_partition import TP
from stream.monitor.lag import LagLimits
from stream.monitor.monitor import Monitor, Names, Since
from stream.monitor.reached import Reached
from stream.monitor.readings import Answer
from stream.monitor.sources.poller import Pace
from tests.unit.monitor.situations import kafka


class FakePoller:
    """A poller whose newest answer the test sets."""

    def __init__(self, name: str, value: Any = None, *, at: float | None = None) -> None:
        self.source: Answer[Any] = Answer(name, value, at)
        self.waited = 0

    def wait(self, timeout_s: float) -> None:
        self.waited += 1


class FakePolled:
    """All pollers of a monitor, none of which asks."""

    def __init__(self) -> None:
        self.pace = Pace(0.0)
        self.kafka, self.slot, self.connect = FakePoller("kafka"), FakePoller("postgres"), FakePoller("connect")
        self.processes, self.replays = FakePoller("processes"), FakePoller("replays")
        self.backfills, self.customers = FakePoller("backfills"), FakePoller("customers")
        self.shards: list[FakePoller] = []
        self.reader = self
        self.started = True
        self.calls: list[str] = []
        self.then: Any = None

    def __getattr__(self, name: str) -> Any:
        return lambda **_: self.calls.append(name)

    def reached(self) -> dict[TP, int]:
        return {TP("scores", 1): 7}


@pytest.fixture
def polled() -> FakePolled:
    return FakePolled()


@pytest.fixture
def monitor(polled: Any, tmp_path: Path) -> Monitor:
    names = Names("group", "connector", "slot", "source", "clickhouse")
    return Monitor(polled, names=names, limits=LagLimits(), reached=Reached(tmp_path / "reached.json", "group"))


def test_it_is_ready_once_kafka_has_answered_and_not_for_long(monitor: Monitor, polled: FakePolled) -> None:
    assert [(check.ok, check.reason) for check in monitor.health().ready] == [(False, "not asked yet")]
    polled.kafka.source = Answer("kafka", kafka(), time.time())
    assert monitor.health().is_ready
    polled.kafka.source = Answer("kafka", kafka(), time.time() - 60)
    assert [(check.ok, check.reason) for check in monitor.health().ready] == [(False, "old answer")]


def test_without_an_answer_of_postgres_the_canary_says_nothing(monitor: Monitor) -> None:
    assert monitor.readings().canary.state == "absent"


def test_the_first_viewer_waits_for_fresh_answers_and_the_next_one_does_not(
    monitor: Monitor, polled: FakePolled
) -> None:
    # given sources that are asked seldom while no viewer looks
    polled.pace = Pace(60.0)
    # when two viewers look
    monitor.look()
    monitor.look()
    # then the sources were asked at once for the first
    assert (polled.calls, polled.kafka.waited) == (["wake"], 1)


def test_each_look_at_kafka_adds_to_the_history(monitor: Monitor, polled: FakePolled) -> None:
    polled.kafka.source = Answer("kafka", kafka(), time.time())
    polled.then()
    assert monitor.history(0)["series"]["freshness"] == [0]


def test_a_close_keeps_how_far_partitions_were_indexed(monitor: Monitor, polled: FakePolled, tmp_path: Path) -> None:
    with monitor:
        pass
    assert polled.calls == ["start", "close"]
    assert Reached(tmp_path / "reached.json", "group").load() == {TP("scores", 1): 7}


def test_a_value_is_known_since_its_last_change() -> None:
    since = Since()
    assert [since.of("slot", value, at) for value, at in ((True, 1), (True, 2), (False, 3), (True, 4))] == [1, 1, 3, 4]


def test_the_document_has_the_board_of_the_installation(polled: Any, tmp_path: Path) -> None:
    url = "https://grafana.example/d/scorestream?var-installation=eu-1"
    names = Names("group", "connector", "slot", "source", "clickhouse", url)
    monitor = Monitor(polled, names=names, limits=LagLimits(), reached=Reached(tmp_path / "reached.json", "group"))
    assert monitor.state()["board"] == url
