"""Ranges of the log: the records between two offsets, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError

from stream.errors import KafkaUnavailable
from stream.kafka import broker as broker_module
from stream.kafka import ranges
from stream.kafka.broker import Broker
from stream.kafka.topic_partition import TP
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames
from tests.unit.kafka.consumer import FakeConsumer, Record

A, B = TP("scores", 0), TP("scores", 1)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer()
    monkeypatch.setattr(broker_module, "Consumer", lambda _options: made)
    return made


def read(wanted: Mapping[TP, tuple[int, int]]) -> list[tuple[Any, int]]:
    broker = Broker(KafkaSettings(), TopicNames("s", "app", "dl"))
    return [(record.at, record.number) for record in ranges.records(broker, wanted, group="look")]


def test_what_was_produced_after_the_end_is_left_out(consumer: FakeConsumer) -> None:
    # given one partition that has grown, and one whose last offsets are no messages
    consumer.records = [
        Record(A, 3), Record(A, 4), Record(A, 5), Record(B, 1), Record(B, 9, code=KafkaError._PARTITION_EOF)
    ]  # fmt: skip
    # when ranges of both are read
    found = read({A: (3, 5), B: (0, 9)})
    # then the reader has their messages, and has closed its consumer
    assert found == [(A, 3), (A, 4), (B, 1)]
    assert consumer.closed


def test_empty_ranges_open_nothing(consumer: FakeConsumer) -> None:
    assert read({A: (5, 5)}) == []
    assert not consumer.assigned


def test_silence_is_an_error_that_names_the_partition(consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_TIMEOUT_S", -1.0)
    with pytest.raises(KafkaUnavailable, match=r"Kafka at .*: records: no message of .*scores"):
        read({A: (0, 5)})
    assert consumer.closed
