"""What the brokers have to let this user do: told before the group is joined, with the command that allows it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from stream.errors import ConfigError, KafkaUnavailable
from stream.kafka.permissions import check
from stream.topic_names import TopicNames

NAMES = TopicNames("qa", "app", "qa.dead-letters")


@dataclass
class Brokers:
    denies: dict[str, list[str]] = field(default_factory=dict)
    away: bool = False

    def denied(self, topics: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        if self.away:
            raise KafkaUnavailable("no broker answers")
        return {name: self.denies[name] for name in topics if name in self.denies}

    def denied_to_create(self, topics: Collection[str]) -> list[str]:
        return []

    def denied_groups(self, groups: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        return self.denied(groups, operations)


def test_a_worker_does_not_start_where_it_would_stop_later() -> None:
    # given a user that may read, and may not write a refused message
    brokers = Brokers(denies={"qa.dead-letters": ["WRITE"], "qa-live": ["READ"]})
    # when it starts, then it names each, with the command
    with pytest.raises(ConfigError) as raised:
        check(brokers, NAMES, "qa-live", "k1:9092")
    for told in ("--topic qa.dead-letters --operation Write", "--group qa-live --operation Read"):
        assert f"--allow-principal User:.. {told}" in str(raised.value)


def test_what_fails_later_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(Brokers(denies={"qa.outages": ["WRITE"]}), NAMES, "qa-live", "k1:9092")
    (record,) = [each for each in caplog.records if each.name == "stream.kafka.permissions"]
    assert vars(record)["cause"] == "this user may not WRITE topic qa.outages"


def test_the_group_in_which_processes_announce_themselves_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(Brokers(denies={"qa-processes": ["READ"]}), NAMES, "qa-live", "k1:9092")
    (record,) = caplog.records
    assert vars(record)["cause"] == "this user may not READ group qa-processes"
    assert vars(record)["way_out"].endswith("--group qa-processes --operation Read")


def test_brokers_that_are_away_keep_no_worker() -> None:
    check(Brokers(away=True), NAMES, "qa-live", "k1:9092")
