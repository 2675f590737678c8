"""Topics, replicas, permissions, and transactions that stay open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest

from stream.doctor import kafka
from stream.doctor.finding import RECOVER, DoctorFinding
from stream.kafka.topic_partition import TP
from stream.kafka.topics import Found, Topic
from stream.topic_names import TopicNames

ROWS = tuple(f"qa.app.{table}" for table in ("chats", "scorecards", "scores"))
NAMES = TopicNames("qa", "app", "qa.dead-letters")
TOPICS = [Found(Topic(name, 16, {}), "present", 16) for name in ROWS] + [
    Found(Topic("qa.dead-letters", 1, {}), "present", 1)
]


@dataclass
class Brokers:
    """A cluster that denies nothing."""

    denies: dict[str, list[str]] = field(default_factory=dict)
    open: dict[TP, float] = field(default_factory=dict)
    uncreatable: tuple[str, ...] = ()

    def denied(self, topics: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        return {name: [each for each in self.denies.get(name, []) if each in operations] for name in topics
                if set(self.denies.get(name, [])) & set(operations)}  # fmt: skip

    def denied_to_create(self, topics: Collection[str]) -> list[str]:
        return [name for name in topics if name in self.uncreatable]

    def denied_groups(self, groups: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        return self.denied(groups, operations)

    def open_since(self, topics: Collection[str]) -> dict[TP, float]:
        return {tp: at for tp, at in self.open.items() if tp.topic in topics}


def found(brokers: Brokers | None = None, *, topics: list[Found] = TOPICS) -> list[DoctorFinding]:
    return list(kafka.examine(brokers or Brokers(), lambda: topics, NAMES, "k1:9092", group="qa-live", now=1000.0))


def test_topics_as_they_must_be_have_no_finding() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changed", "check", "severity", "way_out"),
    [
        ({"state": "missing", "partitions": None}, "topic-missing", "error", RECOVER),
        ({"partitions": 8}, "topic-partitions", "error", "SCORESTREAM_KAFKA_PARTITIONS"),
        ({"leaderless": (3, 4)}, "partition-leaderless", "error", "--unavailable-partitions"),
        ({"out_of_sync": (3,)}, "replicas-out-of-sync", "warning", "--under-replicated-partitions"),
        (
            {"options": {"cleanup.policy": ("delete", "compact")}},
            "topic-cleanup",
            "error",
            "kafka-configs.sh --bootstrap-server k1:9092 --alter --entity-type topics --entity-name qa.app.chats "
            "--add-config cleanup.policy=compact",
        ),
        (
            {"options": {"max.message.bytes": ("1048576", "33554432")}},
            "topic-option",
            "warning",
            "--add-config max.message.bytes=33554432",
        ),
        ({"warnings": ("replication factor 1 with 3 brokers",)}, "topic-replication", "warning", "kafka-reassign"),
        ({"warnings": ("min.insync.replicas 1: ..",)}, "topic-replication", "warning", "min.insync.replicas=2"),
    ],
)
def test_a_fault_of_a_topic(changed: dict[str, object], check: str, severity: str, way_out: str) -> None:
    first, *others = TOPICS
    (finding,) = found(topics=[replace(first, **changed), *others])
    assert (finding.id, finding.severity) == (check, severity)
    assert "qa.app.chats" in finding.what
    assert way_out in finding.way_out


def test_a_topic_is_created_where_none_held_rows_and_where_it_holds_no_rows() -> None:
    rows = len(NAMES.sources)
    gone = [replace(each, state="missing", partitions=None) for each in TOPICS]
    for topics in (gone, [*TOPICS[:rows], *gone[rows:]]):
        assert {each.way_out for each in found(topics=topics)} == {"scorestream topics apply"}


def test_the_dead_letters_may_have_another_cleanup_policy_with_a_warning() -> None:
    *rows, letters = TOPICS
    (finding,) = found(topics=[*rows, replace(letters, options={"cleanup.policy": ("compact", "delete")})])
    assert finding.id == "topic-option"


def test_what_the_brokers_deny_is_named_with_its_acl() -> None:
    (finding,) = found(Brokers(denies={ROWS[1]: ["READ"]}))
    assert finding.what == "this user may not READ topic qa.app.scorecards"
    assert "--topic qa.app.scorecards --operation Read" in finding.way_out
    (finding,) = found(Brokers(denies={"qa.dead-letters": ["WRITE"]}))
    assert "--topic qa.dead-letters --operation Write" in finding.way_out
    assert found(Brokers(denies={ROWS[1]: ["WRITE"]})) == []  # the workers only read there
    (finding,) = found(Brokers(denies={"qa-live": ["READ"]}))
    assert (finding.id, "--group qa-live --operation Read" in finding.way_out) == ("kafka-denied", True)


@pytest.mark.parametrize(
    ("brokers", "told"),
    [
        (Brokers(denies={"qa.outages": ["READ", "WRITE"]}), "--topic qa.outages --operation Read --operation Write"),
        (Brokers(denies={"qa.dead-letters-settled": ["WRITE"]}), "--topic qa.dead-letters-settled --operation Write"),
        (Brokers(denies={"qa.app.scorestream_heartbeat": ["READ"]}), "--topic qa.app.scorestream_heartbeat"),
        (Brokers(uncreatable=("qa.replays",)), "--topic qa.replays --operation Create"),
        (
            Brokers(denies={"qa-replay-": ["DESCRIBE"]}),
            "--group qa-replay- --resource-pattern-type prefixed --operation Describe",
        ),
    ],
)
def test_what_keeps_state_is_named_with_its_acl(brokers: Brokers, told: str) -> None:
    (finding,) = found(brokers)
    assert (finding.id, finding.severity) == ("kafka-denied-state", "warning")
    assert told in finding.way_out


def test_a_transaction_is_told_when_it_is_older_than_its_timeout() -> None:
    brokers = Brokers(open={TP(ROWS[2], 3): 1000.0 - 61, TP(ROWS[2], 4): 1000.0 - 14})
    (finding,) = found(brokers)
    assert finding.what == "a transaction is open in qa.app.scores-3 for 1 min 1 s"
    assert finding.way_out == "scorestream connectors restart --all"
