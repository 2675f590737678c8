"""What the brokers let this client do with topics, and transactions that a producer left open.

Enters: the broker, and names of topics. Leaves: plain values. Reads only.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import AclOperation, OffsetSpec

from stream.kafka.broker import Broker
from stream.kafka.topic_partition import TP

_TIMEOUT_S = 5.0  # of each request
_READ_S = 1.0  # of one message


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
        wanted = {AclOperation[name] for name in operations}
        with self._broker.asking("authorized operations"):
            answers = self._broker.admin.describe_topics(
                TopicCollection(list(topics)), include_authorized_operations=True, request_timeout=_TIMEOUT_S
            )
            described = {name: answer.result() for name, answer in answers.items()}
        return {
            name: sorted(each.name for each in missing)
            for name, topic in described.items()
            if (missing := wanted - set(topic.authorized_operations or wanted))
        }

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
