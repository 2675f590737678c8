"""Records out of what aiokafka fetched, against what aiokafka itself takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.topic_partition import TP
from stream.live.fetch import _Open

SCORES = TP("scores", 3)


def kafka_batch(
    offset: int, count: int, *, producer: int = -1, transactional: bool = False, control: bytes | None = None
) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=int(transactional),
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for index in range(count):
        key = control if control is not None else b"k%d" % (offset + index)
        assert builder.append(index, 1_000 + index, key, b"v%d" % (offset + index), [("h", b"x")]) is not None
    raw = bytearray(builder.build())
    raw[0:8] = offset.to_bytes(8, "big")  # outside the CRC, as is the partition leader's epoch
    if control is not None:
        attributes = int.from_bytes(raw[21:23], "big") | 0x20
        raw[21:23] = attributes.to_bytes(2, "big")
    return bytes(raw)


def fetched(
    raw: bytes, *, position: int = 0, aborted: Sequence[tuple[int, int]] = (), crcs: bool = False
) -> FetchResult:
    tp = TopicPartition("scores", 3)
    state = SimpleNamespace(position=position, paused=False)
    state.consumed_to = lambda to: setattr(state, "position", to)
    assignment = SimpleNamespace(active=True, state_value=lambda _tp: state)
    records = PartitionRecords(tp, MemoryRecords(raw), list(aborted), position, None, None, crcs, READ_COMMITTED)
    return FetchResult(tp, assignment=assignment, partition_records=records, backoff=0)


ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"


def test_a_limit_cuts_a_kafka_batch_and_the_position_follows() -> None:
    # given two Kafka batches of five, read from the second message on
    result = fetched(kafka_batch(10, 5) + kafka_batch(15, 5), position=11)
    held = _Open(result)
    # when four are taken, then the rest
    four = held.take(4)
    position = result._partition_records.next_fetch_offset
    assert result.check_assignment(TopicPartition("scores", 3))
    rest = held.take(100)
    # then nothing is missing, and the position is always that of the next message
    assert [record.offset for record in four] == [11, 12, 13, 14]
    assert position == 15
    assert [record.offset for record in rest] == [15, 16, 17, 18, 19]
    assert held.empty
    assert rest[0].key == b"k15"
    assert rest[0].value == b"v15"
    assert list(rest[0].headers) == [("h", b"x")]


def test_a_wrong_checksum_is_an_error() -> None:
    raw = bytearray(kafka_batch(0, 3))
    raw[-1] ^= 1
    with pytest.raises(Exception, match="wrong CRC"):
        _Open(fetched(bytes(raw), crcs=True)).take(10)


@given(st.integers(0, 2**32))
def test_it_takes_what_aiokafka_itself_would(seed: int) -> None:
    # given any mix of plain messages, transactions and their markers, read from somewhere in the first Kafka batch
    rnd = random.Random(seed)
    raw, offset, aborted, position = b"", 0, [], -1
    for _ in range(rnd.randint(1, 8)):
        count, kind = rnd.randint(1, 6), rnd.choice(["plain", "committed", "aborted"])
        raw += kafka_batch(offset, count, producer=-1 if kind == "plain" else 7, transactional=kind != "plain")
        if position < 0:
            position = rnd.randrange(count)
        if kind == "aborted":
            aborted.append((7, offset))
        offset += count + rnd.randint(0, 2)  # a hole, as compaction leaves it
        if kind != "plain":
            marker = ABORT if kind == "aborted" else COMMIT
            raw += kafka_batch(offset, 1, producer=7, transactional=True, control=marker)
            offset += 1
    # when it is taken in pieces, and by aiokafka at once
    ours, held = [], _Open(mine := fetched(raw, position=position, aborted=aborted))
    while not held.empty:
        ours += held.take(rnd.randint(1, 7))
    theirs = (other := fetched(raw, position=position, aborted=aborted)).getall()
    # then the messages are the same, and so is the position
    assert [(r.offset, r.key, r.value, r.timestamp) for r in ours] == [
        (r.offset, r.key, r.value, r.timestamp) for r in theirs
    ]
    assert mine._assignment.state_value(None).position == other._assignment.state_value(None).position
