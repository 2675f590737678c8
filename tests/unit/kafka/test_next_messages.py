"""The next message of a partition that is behind: read once for an offset."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.kafka.next_messages import Next, NextMessages
from stream.kafka.topic_partition import TP
from tests.unit.kafka.consumer import FakeConsumer, Record

A = TP("scores", 0)
EMPTY = Next(waiting=False, at=None)


def reading(consumer: FakeConsumer) -> NextMessages:
    opened: Any = lambda: consumer  # noqa: E731
    return NextMessages(opened)


def test_the_commit_time_in_postgres_counts_before_the_records_own() -> None:
    consumer = FakeConsumer(Record(A, 7, b'{"source": {"ts_ms": 2000}}'), Record(A, 9, b"no JSON"))
    following = reading(consumer)
    assert following({A: (5, 10)}) == {A: Next(waiting=True, at=2.0)}
    assert following({A: (8, 10)}) == {A: Next(waiting=True, at=5.0)}


def test_an_answer_is_read_once_until_the_place_moves() -> None:
    # given an answer for an offset
    consumer = FakeConsumer(Record(A, 7), Record(A, 9))
    following = reading(consumer)
    following({A: (5, 10)})
    # when the same is asked, although the log has grown
    following({A: (5, 12)})
    # then nothing is read again; another offset is
    assert len(consumer.assigned) == 1
    following({A: (8, 12)})
    assert len(consumer.assigned) == 2


def test_a_stretch_without_messages_holds_up_to_the_end_that_was_asked() -> None:
    # given only markers of transactions between offset and end
    consumer = FakeConsumer(Record(A, 10, code=KafkaError._PARTITION_EOF))
    following = reading(consumer)
    assert following({A: (5, 10)}) == {A: EMPTY}
    assert following({A: (5, 10)}) == {A: EMPTY}
    assert len(consumer.assigned) == 1
    # when the log has grown behind them
    consumer.records = [Record(A, 11)]
    # then the partition is read again
    assert following({A: (5, 12)})[A].waiting


def test_at_the_end_nothing_is_read() -> None:
    consumer = FakeConsumer()
    assert reading(consumer)({A: (10, 10)}) == {A: EMPTY}
    assert not consumer.assigned


def test_another_event_is_an_error() -> None:
    consumer = FakeConsumer(Record(A, 5, code=KafkaError._TRANSPORT))
    with pytest.raises(KafkaException):
        reading(consumer)({A: (5, 10)})
