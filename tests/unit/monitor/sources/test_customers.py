"""Whose changes wait: what is asked, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stream.kafka import waiting
from stream.kafka.topic_partition import TP
from stream.kafka.waiting_message import WaitingLook, WaitingMessage
from stream.monitor.customers import Waits
from stream.monitor.sources.customers import CustomerSource

LATE = Waits(TP("s.app.scores", 0), end=100, messages=40, seconds=5.0)


class Owners:
    """Postgres, which counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []

    def __call__(self, ids: Sequence[str]) -> dict[str, str]:
        self.asked.append(ids)
        return {"card-1": "globex"}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The ranges that are read; each look finds a score."""
    found: list[Any] = []

    def look(_broker: Any, ranges: Any, *, most: int) -> WaitingLook:
        found.append((ranges, most))
        return WaitingLook([WaitingMessage(1.0, None, "card-1")], None)

    monkeypatch.setattr(waiting, "look", look)
    return found


def source(owners: Owners) -> CustomerSource:
    broker: Any = None
    return CustomerSource(broker, owners, close=lambda: None, most=7)


def test_where_nothing_is_late_nothing_is_asked(looks: list[Any]) -> None:
    owners = Owners()
    assert source(owners).read([LATE._replace(seconds=0.3)]).rows == ()
    assert (looks, owners.asked) == ([], [])


def test_the_owner_of_a_score_is_asked_of_postgres(looks: list[Any]) -> None:
    owners = Owners()
    (row,) = source(owners).read([LATE]).rows
    assert (row.customer, row.messages) == ("globex", 1)
    assert looks == [({LATE.tp: (60, 100)}, 7)]
    assert owners.asked == [["card-1"]]
