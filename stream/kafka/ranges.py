"""Ranges of the log read once, from a start to an end: for looks at what the log has, not for processing it.

Enters: partitions with offsets. Leaves: their records, one at a time. It commits nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream.kafka.broker import Broker
from stream.kafka.client import MESSAGE_MAX_BYTES
from stream.kafka.topic_partition import TP

_TIMEOUT_S = 20.0
_OPTIONS = {
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "fetch.message.max.bytes": MESSAGE_MAX_BYTES,
}


def records(broker: Broker, ranges: Mapping[TP, tuple[int, int]], *, group: str) -> Iterator[Any]:
    """The records of these [start, end) offsets, in the order of each partition.

    Args:
        group: name of the reader for the brokers' permissions; it is never joined.

    Raises:
        KafkaUnavailable: no message came within 20 s.
    """
    left = {tp: end for tp, (start, end) in ranges.items() if start < end}
    if not left:
        return
    consumer = broker.consumer(group, _OPTIONS)
    try:
        with broker.asking("records"):
            consumer.assign([TopicPartition(*tp, ranges[tp][0]) for tp in left])
            deadline = time.monotonic() + _TIMEOUT_S
            while left:
                for record in _arrived(consumer, 1_000, timeout_s=0.5):
                    deadline = time.monotonic() + _TIMEOUT_S
                    if _take(record, left):
                        yield record
                if left and time.monotonic() > deadline:
                    topic, partition = next(iter(left))
                    text = f"no message of {topic}-{partition} within {_TIMEOUT_S:.0f} s"
                    raise broker.unavailable("records", text)
    finally:
        consumer.close()


def _take(record: Any, left: dict[TP, int]) -> bool:
    """Whether a record lies in its range; a partition that has reached its end is taken out of `left`."""
    tp = TP(record.topic(), record.partition())
    error = record.error()
    if error is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        left.pop(tp, None)
        return False
    end = left.get(tp, 0)
    if record.offset() + 1 >= end:
        left.pop(tp, None)
    return bool(record.offset() < end)


def _arrived(consumer: Consumer, at_most: int, *, timeout_s: float) -> list[Message]:
    """The messages and events that have arrived. It waits for the first one only; [] when none arrives in time.

    `consume` with a timeout waits until the time is over, unless the full number of messages arrives.
    """
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(at_most - 1, 0)]
