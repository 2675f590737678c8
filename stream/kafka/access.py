"""What the brokers let this client do with topics, and transactions that a producer left open.

Enters: the broker, and names of topics. Leaves: plain values. Reads only.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, NewTopic, OffsetSpec

from stream.kafka.broker import Broker
from stream.kafka.topic_partition import TP

_TIMEOUT_S = 5.0  # of each request
_READ_S = 1.0  # of one message
_FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND}


class Access:
    """One cluster, as the settings' user sees it. For one thread; the broker's owner closes it.

    Every method raises KafkaUnavailable when no broker answers.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def denied(self, topics: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        """Topics that are there -> those of these operations (READ, WRITE, ...) that this user may not do on them."""
        if not topics:
            return {}
        with self._broker.asking("authorized operations"):
            answers = self._broker.admin.describe_topics(
                TopicCollection(list(topics)), include_authorized_operations=True, request_timeout=_TIMEOUT_S
            )
            return _lacking(answers, operations)

    def denied_groups(self, groups: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        """Consumer groups -> those of these operations (READ, DESCRIBE, DELETE) that this user may not do on them.

        Of a group that is not there yet, brokers tell only whether it may be described.
        """
        with self._broker.asking("authorized operations"):
            answers = self._broker.admin.describe_consumer_groups(
                list(groups), include_authorized_operations=True, request_timeout=_TIMEOUT_S
            )
            return _lacking(answers, operations)

    def denied_to_create(self, topics: Collection[str]) -> list[str]:
        """Those of these topics that are missing, and that this user may not create. Nothing is created."""
        there = {tp.topic for tp in self._broker.partitions(topics)}
        wanted = [NewTopic(name, 1) for name in topics if name not in there]
        if not wanted:
            return []
        with self._broker.asking("a creation, for trial"):
            answers = self._broker.admin.create_topics(wanted, validate_only=True, request_timeout=_TIMEOUT_S)
            return [name for name, answer in answers.items() if _code(answer) in _FORBIDDEN]

    def open_since(self, topics: Collection[str]) -> dict[TP, float]:
        """Partitions with a transaction that is neither committed nor aborted -> Unix time of its first message.

        Readers of committed messages see nothing from there on.
        """
        tps = self._broker.partitions(topics)
        with self._broker.asking("transactions"):
            stable = self._ends(tps, IsolationLevel.READ_COMMITTED)
            ends = self._ends(tps, IsolationLevel.READ_UNCOMMITTED)
            waiting = {tp: offset for tp, offset in stable.items() if offset < ends[tp]}
            return self._times(waiting) if waiting else {}

    def _ends(self, tps: list[TP], level: IsolationLevel) -> dict[TP, int]:
        if not tps:
            return {}
        wanted = {TopicPartition(*tp): OffsetSpec.latest() for tp in tps}
        answers = self._broker.admin.list_offsets(wanted, isolation_level=level, request_timeout=_TIMEOUT_S)
        return {TP(tp.topic, tp.partition): answer.result().offset for tp, answer in answers.items()}

    def _times(self, first: dict[TP, int]) -> dict[TP, float]:
        group = f"scorestream-access-{uuid.uuid4().hex[:8]}"  # never joined, never committed
        consumer = self._broker.consumer(group, {"isolation.level": "read_uncommitted"})
        found: dict[TP, float] = {}
        try:
            for tp, offset in first.items():
                consumer.assign([TopicPartition(*tp, offset)])
                record = consumer.poll(_READ_S)
                if record is not None and record.error() is None:
                    found[tp] = record.timestamp()[1] / 1000
        finally:
            consumer.close()
        return found


def _code(answer: Future[Any]) -> int | None:
    """The error of an answer; None: it has none."""
    error = answer.exception()
    if isinstance(error, KafkaException):
        code: int = error.args[0].code()
        return code
    if error is not None:
        raise error
    return None


def _lacking(answers: Mapping[str, Future[Any]], operations: Collection[str]) -> dict[str, list[str]]:
    """Of each answer the operations that it does not grant; all of them where not even DESCRIBE is granted."""
    wanted = {AclOperation[name] for name in operations}
    found: dict[str, list[str]] = {}
    for name, answer in answers.items():
        code = _code(answer)
        if code in _FORBIDDEN:
            found[name] = sorted(operations)
        elif code not in _ABSENT:
            # A user that may describe it has one at least; none: the broker does not tell.
            granted = answer.result().authorized_operations or wanted
            found[name] = sorted(each.name for each in wanted - set(granted))
    return {name: lacking for name, lacking in found.items() if lacking}
