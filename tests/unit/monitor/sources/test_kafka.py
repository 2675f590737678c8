"""Looks at the live group: which requests they cost, and what is remembered between two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import KafkaUnavailable
from stream.kafka.groups import Group, GroupMember
from stream.kafka.topic_partition import TP
from stream.monitor.lag import LagLimits
from stream.monitor.sources import kafka as module
from stream.monitor.sources.kafka import KafkaReader

SCORES, LETTERS = TP("t.scores", 0), TP("dead", 0)


class Brokers:
    """One partition of scores and one of dead letters."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.letters = 3
        self.members = (GroupMember("m1", "scorestream", "10.0.0.7", (SCORES,)),)

    def partitions(self, topics: Sequence[str]) -> list[TP]:
        self.calls.append("partitions")
        return [TP(topic, 0) for topic in topics]

    def cluster_id(self) -> str:
        return "A"

    def retention(self, _topics: Any) -> dict[str, Any]:
        return {}

    def offsets(self, _group: str, tps: Sequence[TP], *, refresh_starts: bool) -> dict[TP, Any]:
        self.calls.append("offsets")
        ends = {SCORES: 20, LETTERS: self.letters}
        return {tp: SimpleNamespace(start=0, end=ends[tp], committed=15 if tp == SCORES else None) for tp in tps}

    def next_messages(self, wanted: dict[TP, Any]) -> dict[TP, tuple[bool, float | None]]:
        assert set(wanted) == {SCORES}
        return {SCORES: (True, None)}

    def group(self, _name: str) -> Group:
        return Group("STABLE" if self.members else "EMPTY", self.members)


def reader(brokers: Any, *, settled: Callable[[Any], int] = lambda _: 0) -> KafkaReader:
    return KafkaReader(
        brokers,
        group="live",
        topics=["t.scores"],
        dead_letters="dead",
        limits=LagLimits(),
        reached={SCORES: 18},
        settled=settled,
    )


def test_partitions_are_asked_for_seldom_and_all_offsets_in_one_request() -> None:
    brokers = Brokers()
    looks = reader(brokers)
    for _ in range(3):
        found = looks.read()
    assert brokers.calls.count("offsets") == 3
    assert brokers.calls.count("partitions") == 2
    assert (found.partitions[SCORES].holder, found.cluster) == ("10.0.0.7 (scorestream)", "A")


def test_a_rewind_before_the_start_of_the_monitor_is_still_one() -> None:
    looks = reader(Brokers())
    found = looks.read().partitions[SCORES]
    assert (found.rewound, found.messages) == (3, 2)
    assert looks.reached() == {SCORES: 18}


def test_a_group_without_members_is_empty_since_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 105.0, 110.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: next(now), monotonic=lambda: 0.0))
    brokers = Brokers()
    brokers.members = ()
    looks = reader(brokers)
    assert [looks.read().empty_since for _ in range(2)] == [100.0, 100.0]
    brokers.members = (GroupMember("m1", "scorestream", "h", (SCORES,)),)
    assert looks.read().empty_since is None


def test_dead_letters_of_the_last_hour_are_counted_from_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    # given three letters at the first look
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: 0.0))
    brokers = Brokers()
    looks = reader(brokers)
    counts = []
    # when two come within the hour, and one after more than an hour
    for now[0], brokers.letters in ((0.0, 3), (60.0, 5), (4_000.0, 5), (8_000.0, 6)):
        letters = looks.read().dead_letters
        assert letters is not None
        counts.append((letters.total, letters.last_hour))
    # then each look counts those of its own last hour
    assert counts == [(3, 0), (5, 2), (5, 0), (6, 1)]


def test_settled_letters_are_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    # given five letters, of which two are settled
    clock = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 0.0, monotonic=lambda: clock[0]))
    brokers, asked = Brokers(), []
    brokers.letters = 5

    def settled(ranges: Any) -> int:
        asked.append(ranges)
        if len(asked) > 1:
            raise KafkaUnavailable("no permission")
        return 2

    looks = reader(brokers, settled=settled)
    found = []
    # when one more comes, and when the settlements cannot be read for once
    for clock[0], brokers.letters in ((0.0, 5), (5.0, 6), (60.0, 6)):
        letters = looks.read().dead_letters
        assert letters is not None
        found.append((letters.total, letters.open))
    # then the count of settled ones is asked for seldom, and the last one holds
    assert found == [(5, 3), (6, 4), (6, 4)]
    assert asked == [{LETTERS: (0, 5)}, {LETTERS: (0, 6)}]
