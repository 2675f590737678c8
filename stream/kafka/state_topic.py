"""A compacted topic of few keys that holds the state of jobs: written by key, read to its end by any process.

Enters: values by key. Leaves: the last value of each key. Every key has one writer, or one at a time under a lock, so
the last value is the truth. It does not know what the values mean.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from stream.kafka.broker import Broker
from stream.retry import poll

_TIMEOUT_S = 20.0
_NEW_TOPIC_S = 5.0  # until every broker has heard of a topic that another process has just created
_NEW_TOPIC = (KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)
_UNKNOWN: Final = object()


class Tail:
    """The messages of partition 0 of a topic behind an offset. For one thread.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, broker: Broker, topic: str, *, offset: int = 0) -> None:
        self._broker = broker
        self._topic = topic
        self._at = offset
        self._consumer = broker.consumer(
            f"scorestream-state-{uuid.uuid4().hex[:8]}",  # never joined, never committed
            {"auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.wait.max.ms": 20},
        )
        self._consumer.assign([TopicPartition(topic, 0, offset)])

    def end(self) -> int:
        """The offset of the next message to come."""
        with self._broker.asking(f"topic {self._topic}"):
            marks = poll(self._marks, lambda found: found is not _UNKNOWN, timeout_s=_NEW_TOPIC_S, every_s=0.1)
        if marks is None or marks is _UNKNOWN:
            raise self._broker.unavailable(f"topic {self._topic}", f"no answer within {_TIMEOUT_S:.0f} s")
        return int(marks[1])

    def _marks(self) -> Any:
        """The log's two ends; None without an answer, _UNKNOWN while the brokers do not know the partition yet."""
        try:
            return self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _NEW_TOPIC:
                raise
            return _UNKNOWN

    def poll(self, timeout_s: float) -> list[Any]:
        """Messages that have arrived. It waits for the first one up to the limit, and for no further one."""
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        batch = [self._consumer.poll(timeout_s)]
        while batch:
            for message in batch:
                error = None if message is None else message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise self._broker.unavailable(f"topic {self._topic}", error)
                    self._at = max(self._at, message.offset())
                elif message is not None:
                    self._at = message.offset() + 1
                    found.append(message)
            left_s = deadline - time.monotonic()
            # End-of-partition events arrive, too, and do not count as messages.
            batch = self._consumer.consume(1_000, 0) if found or left_s <= 0 else [self._consumer.poll(left_s)]
        return found

    def all(self) -> Iterator[Any]:
        """All messages up to the present end."""
        end, deadline = self.end(), time.monotonic() + _TIMEOUT_S
        while self._at < end:
            messages = self.poll(0.05)
            yield from messages
            if messages:
                deadline = time.monotonic() + _TIMEOUT_S
            elif time.monotonic() > deadline:
                raise self._broker.unavailable(f"topic {self._topic}", f"no answer within {_TIMEOUT_S:.0f} s")

    def close(self) -> None:
        self._consumer.close()


class StateTopic:
    """A state topic. `with`-able, for one thread.

    Args:
        create: create a missing topic. Without it a missing topic has no values, and only `values` works.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, broker: Broker, topic: str, *, create: bool = True) -> None:
        self._broker = broker
        self._topic = topic
        self._producer = broker.producer({"delivery.timeout.ms": 30_000})
        self._values: dict[str, bytes] = {}
        there = ensure(broker, topic, {"cleanup.policy": "compact"}, create=create)
        self._tail = Tail(broker, topic) if there else None

    def values(self) -> Mapping[str, bytes]:
        """The last value of each key at present. A key whose last value is a tombstone is missing."""
        for message in self._tail.all() if self._tail is not None else ():
            key = (message.key() or b"").decode()
            if message.value() is None:
                self._values.pop(key, None)
            else:
                self._values[key] = message.value()
        return self._values

    def put(self, values: Mapping[str, Any]) -> None:
        """Write values by key, as JSON; None writes a tombstone. Returns when the broker has them all."""
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failed.append(error.str())

        for key, value in values.items():
            body = None if value is None else msgspec.json.encode(value)
            while True:
                try:
                    self._producer.produce(
                        self._topic, key=key.encode(), value=body, partition=0, on_delivery=delivered
                    )
                    break
                except BufferError:  # librdkafka's queue holds 100,000 messages
                    self._producer.poll(0.1)
        left = self._producer.flush(_TIMEOUT_S)
        if left or failed:
            cause = failed[0] if failed else "not acknowledged in time"
            raise self._broker.unavailable(f"topic {self._topic}", cause)

    def forget(self, name: str) -> None:
        """Write tombstones for all keys of one job, which are `<name>/<part>`."""
        self.put({key: None for key in self.values() if key.startswith(name + "/")})

    def close(self) -> None:
        if self._tail is not None:
            self._tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def ensure(
    broker: Broker, topic: str, options: Mapping[str, str], *, create: bool = True, timeout_s: float = 20
) -> bool:
    """Whether a topic of one partition exists, after `create` had its effect.

    Raises:
        KafkaUnavailable: no broker answers, or the brokers refuse to create it.
    """
    try:
        if topic in broker.admin.list_topics(timeout=timeout_s).topics:
            return True
        if not create:
            return False
        replicas = broker.settings.replication_factor
        new = NewTopic(topic, num_partitions=1, replication_factor=replicas, config=dict(options))
        broker.admin.create_topics([new], operation_timeout=timeout_s)[topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise broker.unavailable(f"topic {topic}", error) from error
    return True
