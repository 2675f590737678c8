"""Producing dead letters: a full queue drains, and a letter that is too large is kept without its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.errors import KafkaUnavailable
from stream.kafka import broker as broker_module
from stream.kafka import dead_letters
from stream.kafka.broker import Broker
from stream.pipeline.dead_letter import DeadLetter, Message, parse
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames

LIMIT = 1_000


class FakeProducer:
    """A producer whose broker takes values of `LIMIT` bytes, and whose queue holds two messages."""

    error: int | None = None  # that every delivery fails with

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.kept: list[dict[str, Any]] = []
        self._queue: list[dict[str, Any]] = []

    def produce(self, topic: str, **message: Any) -> None:
        if len(self._queue) >= 2:
            raise BufferError
        if len(message["value"] or b"") > 5 * LIMIT:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        self._queue.append(message)

    def poll(self, timeout_s: float) -> None:
        for message in self._queue:
            delivered: Callable[[KafkaError | None, object], None] = message["on_delivery"]
            if self.error is not None:
                delivered(KafkaError(self.error), None)
            elif len(message["value"] or b"") > LIMIT:
                delivered(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)
            else:
                self.kept.append(message)
                delivered(None, None)
        self._queue.clear()

    def flush(self, timeout_s: float) -> int:
        self.poll(timeout_s)
        return 0


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> tuple[dead_letters.DeadLetterProducer, FakeProducer]:
    made: list[FakeProducer] = []

    def make(options: dict[str, Any]) -> FakeProducer:
        made.append(FakeProducer(options))
        return made[-1]

    monkeypatch.setattr(broker_module, "Producer", make)
    broker = Broker(KafkaSettings(), TopicNames("s", "app", "s.dead-letters"))
    return dead_letters.DeadLetterProducer(broker), made[0]


def _letter(number: int, size: int = 10) -> DeadLetter:
    message = Message("s.app.scores", 0, number, 900, b"k%d" % number, b"x" * size, (("trace", b"1"),))
    return DeadLetter(message, "not_json", "no JSON", 1_000)


def test_more_letters_than_the_queue_holds_are_sent(producer: tuple[Any, FakeProducer]) -> None:
    sender, fake = producer
    sender.send([_letter(number) for number in range(7)])
    assert [message["key"] for message in fake.kept] == [b"k%d" % number for number in range(7)]


@pytest.mark.parametrize("size", [LIMIT + 1, 6 * LIMIT], ids=["the broker refuses it", "librdkafka refuses it"])
def test_a_letter_that_is_too_large_is_kept_without_its_value(producer: tuple[Any, FakeProducer], size: int) -> None:
    sender, fake = producer
    sender.send([_letter(1), _letter(2, size), _letter(3)])
    assert sorted(message["key"] for message in fake.kept) == [b"k1", b"k2", b"k3"]
    (large,) = [message for message in fake.kept if message["key"] == b"k2"]
    letter = parse(Message("s.dead-letters", 0, 0, 0, b"k2", large["value"], tuple(large["headers"])))
    assert (letter.message.value, letter.left_out) == (None, size)
    assert (letter.message.topic, letter.message.offset) == ("s.app.scores", 2)
    assert letter.message.headers == (("trace", b"1"),)


def test_another_failure_is_told_with_the_brokers(producer: tuple[Any, FakeProducer]) -> None:
    sender, fake = producer
    fake.error = KafkaError._MSG_TIMED_OUT
    with pytest.raises(KafkaUnavailable, match=r"Kafka at 127\.0\.0\.1:9092: dead letters to s\.dead-letters"):
        sender.send([_letter(1)])
