"""Stretches of the log: gaps count as read, an end is reached once, and offsets that are gone are an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError

from stream.errors import KafkaUnavailable, UsageError
from stream.kafka import broker as broker_module
from stream.kafka import log_reader
from stream.kafka.broker import Broker
from stream.kafka.log_reader import LogReader, Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import Message
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames
from tests.unit.kafka.consumer import FakeConsumer, Record

A, B = TP("scores", 0), TP("scores", 1)


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> FakeConsumer:
    made = FakeConsumer()
    monkeypatch.setattr(broker_module, "Consumer", lambda _options: made)
    return made


def opened(*, follows: bool = False) -> LogReader:
    return LogReader(Broker(KafkaSettings(), TopicNames("s", "app", "dl")), group="g", follows=follows)


@pytest.fixture
def reader(consumer: FakeConsumer) -> Iterator[LogReader]:
    with opened() as made:
        yield made
    assert consumer.closed


def eof(tp: TP, offset: int) -> Record:
    return Record(tp, offset, code=KafkaError._PARTITION_EOF)


def read(reader: LogReader, most: int = 100) -> list[tuple[TP, int, int, int]]:
    """Partition, start, end and number of messages of each stretch."""
    return [(each.tp, each.start, each.end, len(each)) for each in reader.read(most, timeout_s=0)]


def test_each_partition_is_read_from_its_start_to_its_end(consumer: FakeConsumer, reader: LogReader) -> None:
    # given partitions that go on after the wanted ends
    consumer.records = [Record(A, n) for n in range(6)] + [Record(B, n) for n in range(9)]
    # when
    reader.add({A: (2, 5), B: (7, 8), TP("scores", 2): (4, 4)})
    # then one stretch each, and no message after the end
    assert read(reader) == [(A, 2, 5, 3), (B, 7, 8, 1)]
    assert reader.reading == set()
    assert set(consumer.unassigned) == {A, B}
    # and the topic's leaders were asked for once
    assert consumer.looked_up == ["scores"]


def test_messages_come_in_pieces_and_the_positions_follow_them(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.records = [Record(A, n) for n in range(5)]
    reader.add({A: (0, 5)})
    assert read(reader, 2) == [(A, 0, 2, 2)]
    assert reader.reading == {A}
    assert read(reader, 3) == [(A, 2, 5, 3)]
    assert reader.reading == set()


def test_a_compacted_gap_belongs_to_the_stretch_before_it(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.records = [Record(A, 1), Record(A, 4)]
    reader.add({A: (0, 5)})
    assert read(reader) == [(A, 0, 5, 2)]


def test_a_gap_before_the_end_is_passed_by_the_end_of_the_partition(consumer: FakeConsumer, reader: LogReader) -> None:
    # given a partition whose last offsets are transaction markers
    consumer.records = [Record(A, 1), eof(A, 9)]
    reader.add({A: (0, 9)})
    # when its messages and the event come
    assert read(reader) == [(A, 0, 2, 1), (A, 2, 9, 0)]
    # then it is at its end, though no message was
    assert reader.reading == set()


def test_a_message_behind_the_end_shows_that_the_end_is_reached(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.records = [Record(A, 7)]
    reader.add({A: (0, 5)})
    assert read(reader) == [(A, 0, 5, 0)]
    assert reader.reading == set()


def test_an_early_end_of_the_partition_is_no_end(consumer: FakeConsumer, reader: LogReader) -> None:
    # an event of the time when the log was shorter
    consumer.records = [Record(A, 0), eof(A, 1)]
    reader.add({A: (0, 5)})
    assert read(reader) == [(A, 0, 1, 1)]
    assert reader.reading == {A}


def test_a_dropped_partition_brings_nothing_that_was_read_ahead(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.records = [Record(A, 0), Record(B, 0), eof(A, 9)]
    reader.add({A: (0, 5), B: (0, 1)})
    reader.drop([A, TP("scores", 7)])
    assert read(reader) == [(B, 0, 1, 1)]


def test_a_follower_keeps_partitions_open_and_takes_what_is_behind_the_end(consumer: FakeConsumer) -> None:
    consumer.records = [Record(A, 0), Record(A, 1), eof(A, 2)]
    with opened(follows=True) as reader:
        reader.add({A: (0, 1)})
        assert read(reader) == [(A, 0, 2, 2), (A, 2, 2, 0)]
        assert reader.reading == set()
        # the next add only moves the end
        reader.add({A: (2, 4)})
        assert reader.reading == {A}
        assert len(consumer.assigned) == 1
        assert not consumer.unassigned


def test_offsets_that_retention_removed_are_an_error_with_a_way_out(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.records = [Record(A, 3, code=KafkaError._AUTO_OFFSET_RESET)]
    reader.add({A: (3, 5)})
    with pytest.raises(UsageError, match=r"scores-0 no longer has offset 3: .*retention.*scorestream backfill"):
        read(reader)


def test_a_lost_connection_passes_and_another_error_does_not(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.records = [Record(A, 0, code=KafkaError._TRANSPORT)]
    reader.add({A: (0, 5)})
    assert read(reader) == []
    consumer.records = [Record(B, 0, code=KafkaError.TOPIC_AUTHORIZATION_FAILED)]
    reader.add({B: (0, 5)})
    with pytest.raises(KafkaUnavailable, match="scores-1"):
        read(reader)


def test_an_end_that_the_log_has_lost_is_an_error_after_a_silence(
    consumer: FakeConsumer, reader: LogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer.log_ends = {A: 9}
    reader.add({A: (0, 5)})
    # given a silence, while the log has the end
    monkeypatch.setattr(log_reader, "_SHORT_S", 0.0)
    assert read(reader) == []
    # when the topic was created again
    consumer.log_ends = {A: 2}
    with pytest.raises(UsageError, match=r"scores-0 ends at 2, before offset 5"):
        read(reader)


def test_committed_offsets_and_their_metadata(consumer: FakeConsumer, reader: LogReader) -> None:
    assert reader.marks([]) == {}
    reader.commit({})
    reader.commit({A: 5, B: 0}, metadata={A: "clean"})
    assert reader.committed([A, B, TP("scores", 2)]) == {A: 5, B: 0}
    assert reader.marks([A, B]) == {A: (5, "clean"), B: (0, "")}


def test_a_commit_that_one_partition_refuses_is_an_error(consumer: FakeConsumer, reader: LogReader) -> None:
    consumer.refuses = {B}
    with pytest.raises(KafkaUnavailable, match="commit of scores-1"):
        reader.commit({A: 5, B: 6})


def test_a_stretch_gives_its_messages_whole_and_in_part() -> None:
    stretch = Stretch(A, [Record(A, 3, b"ab", time_ms=7), Record(A, 5, b"c")], start=2, end=6)
    assert (stretch.last_offset, stretch.size) == (5, 3)
    assert (stretch.keys, stretch.values) == ([b"k", b"k"], [b"ab", b"c"])
    assert stretch.message(0) == Message("scores", 0, 3, 7, b"k", b"ab", ())
    part = stretch.only([1])
    assert (part.values, part.start, part.end) == ([b"c"], 2, 6)
    assert Stretch(A, [], start=2, end=6).last_offset is None
