"""Whether Debezium may still come to a signal, by its notifications and by what Connect has committed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.backfill.notifications import Notification, parse
from stream.backfill.snapshot_watch import CORRELATION, SnapshotWatch
from stream.connect.rest import ConnectorStatus, Task
from stream.errors import Stop

SIGNAL, LSN = "b/1/scores/1", 100


def note(signal: str, kind: str, **data: str) -> Notification:
    value = {"id": signal, "aggregate_type": "Incremental Snapshot", "type": kind, "additional_data": data}
    found = parse(json.dumps(value).encode())
    assert found is not None
    return found


STARTED = note(SIGNAL, "STARTED")
READ = [note(SIGNAL, "TABLE_SCAN_COMPLETED", total_rows_scanned="7", status="SUCCEEDED"), note(SIGNAL, "COMPLETED")]


class Outside:
    """Debezium's notifications and Connect."""

    connector = "scorestream"

    def __init__(self) -> None:
        self.notes: list[Notification] = []
        self.state = "RUNNING"
        self.offset: dict[str, Any] = {"lsn": LSN + 1}
        self.now = 0.0
        self.waits: list[str] = []
        fake: Any = self
        self.watch = SnapshotWatch("b", fake, fake, schema="app", give_up_s=60, clock=lambda: self.now)

    def poll(self, timeout_s: float) -> list[Notification]:
        found, self.notes = self.notes, []
        return found

    def all(self) -> list[Notification]:
        return self.poll(0)

    def status(self, name: str) -> ConnectorStatus | None:
        return None if self.state == "gone" else ConnectorStatus(name, self.state, "w", (Task(0, self.state, "w"),))

    def offsets(self, name: str) -> dict[str, Any]:
        return self.offset

    def is_under_way(self) -> bool:
        return self.watch.is_under_way(SIGNAL, LSN, on_wait=self.waits.append)


@pytest.fixture
def outside() -> Outside:
    return Outside()


def test_news_of_other_backfills_are_kept_and_are_no_sign_of_life(outside: Outside) -> None:
    outside.notes = [note("other/1/scores/1", "STARTED")]
    assert not outside.watch.hear()
    outside.notes = [STARTED, *READ]
    assert outside.watch.hear()
    assert outside.watch.news(SIGNAL).completed
    assert not outside.watch.news("b/2/scores/1").completed


def test_what_is_there_already_is_caught_up(outside: Outside) -> None:
    outside.notes = [STARTED, *READ]
    outside.watch.catch_up()
    assert outside.watch.news(SIGNAL).completed


@pytest.mark.parametrize("offset", [{"lsn": LSN + 1, CORRELATION: "b/9"}, {"lsn": LSN}, {}])
def test_a_snapshot_under_way_or_a_signal_that_is_not_reached_yet_are_waited_for(
    outside: Outside, offset: dict[str, Any]
) -> None:
    outside.offset = offset
    assert outside.is_under_way()


def test_a_signal_that_was_begun_and_is_under_way_no_more_is_lost(outside: Outside) -> None:
    outside.notes = [STARTED]
    outside.watch.hear()
    assert not outside.is_under_way()


def test_an_end_that_is_just_arriving_is_not_a_loss(outside: Outside) -> None:
    outside.notes = [STARTED]
    outside.watch.hear()
    outside.notes = READ
    assert outside.is_under_way()


def test_a_signal_that_the_connector_passed_without_notice_ends_the_backfill(outside: Outside) -> None:
    with pytest.raises(Stop, match=r"took no notice of signal b/1/scores/1.*connectors apply"):
        outside.is_under_way()


@pytest.mark.parametrize("state", ["PAUSED", "gone"])
def test_a_connector_that_is_away_is_waited_for_until_the_patience_ends(outside: Outside, state: str) -> None:
    outside.state = state
    assert outside.is_under_way()
    outside.now = 50
    assert outside.is_under_way()
    assert outside.waits == [f"connector scorestream does not run ({state})"] * 2
    outside.now = 61
    with pytest.raises(Stop, match="start it, then `scorestream backfill resume b`"):
        outside.is_under_way()


def test_the_patience_begins_again_once_the_connector_was_back(outside: Outside) -> None:
    outside.state = "PAUSED"
    assert outside.is_under_way()
    outside.state, outside.offset, outside.now = "RUNNING", {}, 50
    assert outside.is_under_way()
    outside.state, outside.now = "PAUSED", 61
    assert outside.is_under_way()


def test_the_end_is_committed_once_connect_has_another_signal_or_none(outside: Outside) -> None:
    outside.offset = {CORRELATION: SIGNAL}
    assert not outside.watch.is_committed(SIGNAL)
    outside.offset = {}
    assert outside.watch.is_committed(SIGNAL)
