"""Kafka: the topics and their options, replicas, what this user may do, transactions that were left open.

Enters: `Brokers`, which asks the cluster. Leaves: findings. Reads only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from stream.doctor.finding import ERROR, RECOVER, WARNING, Checks, DoctorFinding
from stream.kafka import permissions
from stream.kafka.topic_partition import TP
from stream.kafka.topics import Found, wrong_partitions
from stream.times import duration
from stream.topic_names import TopicNames

CHECKS = Checks("kafka")
SILENT = CHECKS.add(
    "kafka-unreachable",
    ERROR,
    "no broker answers at SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS, or the brokers refuse the credentials",
    "the connector and the workers stand still",
    "start the brokers, or correct the settings SCORESTREAM_KAFKA_*",
)
LEADER = CHECKS.add(
    "partition-leaderless",
    ERROR,
    "a partition has no leader: the brokers that hold it are away",
    "its messages can be neither written nor read, and the connector stands still for all of them",
    "start the brokers that hold it: `kafka-topics.sh --describe --unavailable-partitions`",
)
SYNC = CHECKS.add(
    "replicas-out-of-sync",
    WARNING,
    "a replica of a partition is missing or late",
    "messages are lost, or the partition stands still, when the next broker goes away",
    "start the broker that is away: `kafka-topics.sh --describe --under-replicated-partitions`",
)
TOPIC = CHECKS.add(
    "topic-missing",
    ERROR,
    "a topic does not exist",
    "the connector makes it with the brokers' defaults, or fails, and the workers do not see its messages",
    "scorestream topics apply",
)
PARTITIONS = CHECKS.add(
    "topic-partitions",
    ERROR,
    "a topic has another number of partitions than the settings say, or than the other topics of rows",
    "a scorecard and its scores lie in partitions of different numbers, and the workers refuse to start",
)
POLICY = CHECKS.add(
    "topic-cleanup",
    ERROR,
    "a topic of rows is not compacted: Kafka deletes messages by age",
    "a replay no longer finds rows that did not change for long, and a shadow lacks them",
)
OPTION = CHECKS.add(
    "topic-option",
    WARNING,
    "a topic has another option than `scorestream topics apply` gives it",
    "changes are compacted, deleted or refused for their size earlier than the settings promise",
)
DURABILITY = CHECKS.add(
    "topic-replication",
    WARNING,
    "a topic has fewer than 3 replicas, or a min.insync.replicas of 1, on three brokers and more",
    "acknowledged messages are lost with one broker, or the topic stands still while one is away",
)
DENIED = CHECKS.add(
    "kafka-denied",
    ERROR,
    "the brokers do not let this user read the topics of rows, write to the dead letters, or join the group",
    "the workers refuse to start",
)
DENIED_STATE = CHECKS.add(
    "kafka-denied-state",
    WARNING,
    "the brokers do not let this user use or create a topic that keeps state, or describe the groups of replays",
    "a replay, a backfill, the audit trail, or the repair after an outage stops at its first request",
)
TRANSACTION = CHECKS.add(
    "transaction-open",
    ERROR,
    "a Kafka transaction is open for long",
    "readers of committed messages see nothing that follows it: the workers wait, without an error",
    "scorestream connectors restart --all",
)

OPEN_S = 60.0  # a transaction of the connector ends within its timeout of 15 s
_TOOL = "kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics --entity-name {topic} --add-config "


class Brokers(permissions.PermissionSource, Protocol):
    """What is asked of the cluster. Every method raises KafkaUnavailable."""

    def open_since(self, topics: Collection[str]) -> dict[TP, float]: ...


def examine(
    brokers: Brokers,
    inspect: Callable[[], list[Found]],
    names: TopicNames,
    servers: str,
    *,
    group: str,
    now: float | None = None,
) -> Iterator[DoctorFinding]:
    """Everything that is wrong. Raises KafkaUnavailable.

    Args:
        group: of the live workers.
    """
    found = inspect()
    yield from topics(found, names, servers)
    there = {each.topic.name for each in found if each.state != "missing"}
    rows = [name for name in names.sources if name in there]
    for each in permissions.missing(brokers, names, group):
        yield (DENIED if each.vital else DENIED_STATE).found(str(each), each.acl(servers))
    yield from _open(brokers.open_since(rows), time.time() if now is None else now)


def topics(found: list[Found], names: TopicNames, servers: str) -> Iterator[DoctorFinding]:
    """Of the topics alone; `connectors apply` asks the same."""
    rows = [each for each in found if each.topic.name in names.sources]
    deleted = any(each.state != "missing" for each in rows)  # before the first start there is none of them
    for each in found:
        if each.state == "missing":
            lost = deleted and each in rows
            what = f"no topic {each.topic.name}" + (": changes that waited in it are gone" if lost else "")
            yield TOPIC.found(what, RECOVER if lost else "")
    for text in wrong_partitions(found):
        way = "set SCORESTREAM_KAFKA_PARTITIONS to what all have, or choose another SCORESTREAM_KAFKA_TOPIC_PREFIX"
        yield PARTITIONS.found(text, way)
    for each in found:
        name = each.topic.name
        if each.leaderless:
            yield LEADER.found(f"partitions {_numbers(each.leaderless)} of {name} have no leader")
        elif each.out_of_sync:
            yield SYNC.found(f"partitions {_numbers(each.out_of_sync)} of {name} lack a replica in sync")
        for option, (value, wanted) in each.options.items():
            check = POLICY if option == "cleanup.policy" and name in names.sources else OPTION
            tool = _TOOL.format(servers=servers, topic=name)
            yield check.found(f"topic {name} has {option} {value}, not {wanted}", f"{tool}{option}={wanted}")
        for warning in each.warnings:
            yield DURABILITY.found(f"topic {name}: {warning}", _more_durable(warning, servers, name))


def _more_durable(warning: str, servers: str, topic: str) -> str:
    if warning.startswith("min.insync"):
        return _TOOL.format(servers=servers, topic=topic) + "min.insync.replicas=2"
    return f"kafka-reassign-partitions.sh --bootstrap-server {servers} with three replicas for each partition"


def _open(since: Mapping[TP, float], now: float) -> Iterator[DoctorFinding]:
    for tp, at in since.items():
        if now - at >= OPEN_S:
            yield TRANSACTION.found(f"a transaction is open in {tp.topic}-{tp.partition} for {duration(now - at)}")


def _numbers(partitions: tuple[int, ...]) -> str:
    return ", ".join(map(str, partitions))
