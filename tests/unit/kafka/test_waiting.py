"""Messages that wait: ids and times, a bounded number of each partition."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from stream.kafka import waiting
from stream.kafka.topic_partition import TP
from stream.kafka.waiting import look
from stream.kafka.waiting_message import WaitingMessage

TOPIC = "s.app.scorecards"


def value(**parts: Any) -> bytes:
    return json.dumps(parts).encode()


def record(partition: int, body: bytes | None, at_ms: int = 5_000) -> Any:
    return SimpleNamespace(
        topic=lambda: TOPIC, partition=lambda: partition, value=lambda: body, timestamp=lambda: (1, at_ms)
    )


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Records that are read, and the ranges that were asked for."""
    kept: dict[str, Any] = {"records": [], "asked": None}

    def records(_broker: Any, ranges: Any, *, group: str) -> list[Any]:
        assert group.startswith("scorestream-")  # the prefix that every role may describe
        kept["asked"] = ranges
        return kept["records"]

    monkeypatch.setattr(waiting, "records", records)
    return kept


def test_ids_and_the_commit_time_and_no_content(log: dict[str, Any]) -> None:
    log["records"] = [
        record(
            0, value(source={"ts_ms": 2_000}, after={"customer_id": "acme", "scorecard_id": "c", "comment": "private"})
        ),
        record(0, value(source={"ts_ms": 3_000}, before={"scorecard_id": "d"}, after=None)),
        record(0, b"no JSON"),
        record(0, None),
    ]
    found = look(None, {TP(TOPIC, 0): (0, 4)})  # type: ignore[arg-type]
    assert found.messages == [
        WaitingMessage(2.0, "acme", "c"),
        WaitingMessage(3.0, None, "d"),
        WaitingMessage(5.0, None, None),
        WaitingMessage(5.0, None, None),
    ]
    assert found.cut_at is None


def test_each_partition_is_read_up_to_its_share_and_the_look_says_from_when_it_is_cut(log: dict[str, Any]) -> None:
    # given two partitions, of which one has more than its share
    log["records"] = [record(0, value(source={"ts_ms": 2_000})), record(1, value(source={"ts_ms": 9_000}))]
    found = look(None, {TP(TOPIC, 0): (10, 90), TP(TOPIC, 1): (0, 1)}, most=4)  # type: ignore[arg-type]
    # then its oldest are read
    assert log["asked"] == {TP(TOPIC, 0): (10, 12), TP(TOPIC, 1): (0, 1)}
    assert found.cut_at == 2.0
