"""Which partitions are so late that compaction may have removed changes."""

from __future__ import annotations

import pytest

from stream.kafka.broker import Retention
from stream.kafka.compaction import outrun, too_old
from stream.kafka.next_messages import Next
from stream.kafka.topic_partition import TP

TOPIC = "p.app.scorecards"
FIRST, SECOND = TP(TOPIC, 0), TP(TOPIC, 1)
WEEK = Retention(604_800.0, compacted=True)


@pytest.mark.parametrize(
    ("message", "kept", "late"),
    [
        (Next(waiting=True, at=1_000.0), WEEK, False),
        (Next(waiting=True, at=1_000_000.0 - 604_801), WEEK, True),
        (Next(waiting=True, at=1_000_000.0 - 604_799), WEEK, False),
        (Next(waiting=True, at=None), WEEK, False),
        (Next(waiting=False, at=None), WEEK, False),
        (Next(waiting=True, at=0.0), Retention(None, compacted=False), False),
    ],
)
def test_a_message_older_than_every_change_is_kept(message: Next, kept: Retention, late: bool) -> None:
    now = 1_000_000.0 if message.at != 1_000.0 else 2_000.0
    assert (FIRST in too_old({FIRST: message}, {TOPIC: kept}, now=now)) == late


class FakeLag:
    def partitions(self, topics: list[str]) -> list[TP]:
        return [FIRST, SECOND]

    def ends(self, tps: list[TP]) -> dict[TP, int]:
        return {FIRST: 10, SECOND: 10}

    def committed(self, group: str, tps: list[TP]) -> dict[TP, int]:
        return {FIRST: 4, SECOND: 10}

    def next_messages(self, wanted: dict[TP, tuple[int, int]]) -> dict[TP, Next]:
        assert wanted == {FIRST: (4, 10)}
        return {FIRST: Next(waiting=True, at=1.0)}

    def retention(self, topics: list[str]) -> dict[str, Retention]:
        return {TOPIC: WEEK}


def test_only_partitions_with_something_waiting_are_looked_at() -> None:
    found = outrun(FakeLag(), "live", [TOPIC])  # type: ignore[arg-type]
    assert found.keys() == {FIRST}
    assert found[FIRST] > 604_800


def test_what_was_read_before_a_rewind_is_not_late() -> None:
    broker = FakeLag()
    broker.next_messages = lambda wanted: {} if not wanted else {SECOND: Next(waiting=True, at=1.0)}  # type: ignore[method-assign, assignment]
    assert outrun(broker, "live", [TOPIC], reached={FIRST: 10}) == {}  # type: ignore[arg-type]
