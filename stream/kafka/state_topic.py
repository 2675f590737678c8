"""A compacted topic of few keys that holds the state of a job, and its reading by whoever looks on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.config import Settings
from stream.errors import KafkaUnavailable
from stream.kafka.client import client_options

_TIMEOUT_S = 20.0


class Tail:
    """The messages of partition 0 of a topic behind an offset, as far as there are any. For one thread.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, settings: Settings, topic: str, *, offset: int = 0) -> None:
        self._topic = topic
        self._at = offset
        self._consumer = Consumer(
            client_options(settings.kafka)
            | {
                "group.id": f"scorestream-backfill-{uuid.uuid4().hex[:8]}",  # never joined, never committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, offset)])

    def end(self) -> int:
        """The offset of the next message that comes."""
        try:
            marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"topic {self._topic}: {error.args[0].str()}") from error
        return int(marks[1])

    def poll(self, timeout_s: float) -> list[Any]:
        """What has come; waits for the first message so long, for no further one."""
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        batch = [self._consumer.poll(timeout_s)]
        while batch:
            for message in batch:
                error = None if message is None else message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaUnavailable(f"topic {self._topic}: {error.str()}")
                    self._at = max(self._at, message.offset())
                elif message is not None:
                    self._at = message.offset() + 1
                    found.append(message)
            left_s = deadline - time.monotonic()
            # Ends of the partition are told, too: they are not what is waited for.
            batch = self._consumer.consume(1_000, 0) if found or left_s <= 0 else [self._consumer.poll(left_s)]
        return found

    def all(self) -> Iterator[Any]:
        """Everything up to the present end."""
        end, deadline = self.end(), time.monotonic() + _TIMEOUT_S
        while self._at < end:
            messages = self.poll(0.05)
            yield from messages
            if messages:
                deadline = time.monotonic() + _TIMEOUT_S
            elif time.monotonic() > deadline:
                raise KafkaUnavailable(f"topic {self._topic} did not answer within {_TIMEOUT_S:.0f} s")

    def close(self) -> None:
        self._consumer.close()
