"""The state topic without a broker: what is kept of each key, and what a failed write says."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.errors import KafkaUnavailable
from stream.kafka.state_topic import StateTopic


class Message:
    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self._content = (offset, key, value)

    def error(self) -> None: ...

    def offset(self) -> int:
        return self._content[0]

    def key(self) -> bytes:
        return self._content[1]

    def value(self) -> bytes | None:
        return self._content[2]


class FakeBroker:
    """A broker with one topic, its producer, consumer and admin client in one."""

    settings = SimpleNamespace(replication_factor=1)

    def __init__(self, *, exists: bool = True) -> None:
        self.log: list[Message] = []
        self.at = 0
        self.topics = {"jobs"} if exists else set()
        self.refuses = False
        self.full = 0
        self.unheard = 0
        self.admin = self

    # the store
    def producer(self, _options: Any) -> Any:
        return self

    def consumer(self, _group: str, _options: Any) -> Any:
        return self

    def asking(self, _what: str) -> Any:
        return nullcontext()

    def unavailable(self, what: str, cause: object) -> KafkaUnavailable:
        return KafkaUnavailable(f"{what}: {cause}")

    # the admin client
    def list_topics(self, *, timeout: float) -> Any:
        return self

    def create_topics(self, wanted: list[Any], **_: Any) -> dict[str, Any]:
        self.topics |= {topic.topic for topic in wanted}
        return {topic.topic: SimpleNamespace(result=lambda: None) for topic in wanted}

    # the producer
    def produce(
        self, _topic: str, *, key: bytes, value: bytes | None, partition: int, on_delivery: Callable[..., None]
    ) -> None:
        if self.full:
            raise BufferError
        if self.refuses:
            on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), None)
        else:
            self.log.append(Message(len(self.log), key, value))

    def flush(self, _timeout_s: float) -> int:
        return 0

    # the consumer
    def assign(self, _tps: Any) -> None: ...

    def get_watermark_offsets(self, _tp: Any, *, timeout: float) -> tuple[int, int]:
        self.unheard -= 1
        if self.unheard >= 0:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        return 0, len(self.log)

    def poll(self, _timeout_s: float) -> Message | None:
        self.full = 0
        found = self.consume(1, 0)
        return found[0] if found else None

    def consume(self, most: int, _timeout_s: float) -> list[Message]:
        found = self.log[self.at : self.at + most]
        self.at += len(found)
        return found

    def close(self) -> None: ...


def topic(broker: Any, **options: Any) -> StateTopic:
    return StateTopic(broker, "jobs", **options)


def test_the_last_value_of_each_key_counts_and_a_tombstone_ends_it() -> None:
    with topic(FakeBroker()) as states:
        states.put({"june/plan": {"a": 1}, "june/control": 2, "july/plan": 3})
        states.put({"june/plan": {"a": 4}, "july/plan": None})
        assert {key: json.loads(value) for key, value in states.values().items()} == {
            "june/plan": {"a": 4},
            "june/control": 2,
        }


def test_a_job_is_forgotten_with_all_its_keys_and_no_other() -> None:
    with topic(FakeBroker()) as states:
        states.put({"june/plan": 1, "june/control": 2, "june2/plan": 3})
        states.forget("june")
        assert list(states.values()) == ["june2/plan"]


def test_a_missing_topic_is_created_unless_it_is_only_read() -> None:
    reader, writer = FakeBroker(exists=False), FakeBroker(exists=False)
    assert topic(reader, create=False).values() == {}
    assert reader.topics == set()
    topic(writer)
    assert writer.topics == {"jobs"}


def test_a_full_queue_is_drained_and_a_refused_write_is_an_error() -> None:
    broker = FakeBroker()
    states = topic(broker)
    broker.full = 1
    states.put({"june/plan": 1})
    assert len(broker.log) == 1
    broker.refuses = True
    with pytest.raises(KafkaUnavailable, match=r"topic jobs: .*timed out"):
        states.put({"june/plan": 2})


def test_a_topic_that_another_process_has_just_created_is_waited_for() -> None:
    # given a topic of which this consumer's broker has not heard yet
    broker = FakeBroker()
    broker.unheard = 2
    # when it is read, then the error of the first answers is no error of the topic
    assert StateTopic(broker, "jobs", create=False).values() == {}  # type: ignore[arg-type]
    assert broker.unheard < 0
