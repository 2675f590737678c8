"""A record batch, and the order in which batches are delivered."""

from __future__ import annotations

from stream.kafka.topic_partition import TP
from stream.live.record_batch import BatchScheduler
from stream.pipeline.dead_letter import Message
from tests.unit.live.batches import batch_of


def test_lists_stay_whole_and_topics_take_turns() -> None:
    # given three partitions of one topic and one of another
    fetched = {TP("a", 0): [1, 2], TP("a", 1): [3], TP("a", 2): [4], TP("b", 0): [5, 6]}
    # then each list is delivered once, and `b` does not wait for all of `a`
    delivered = list(BatchScheduler().iterate(fetched))
    assert dict(delivered) == fetched
    assert [tp.topic for tp, _ in delivered] == ["a", "b", "a", "a"]


def test_a_batch_that_is_left_aside_lets_its_records_go() -> None:
    batch = batch_of(3, start=7)
    message = batch.as_message()
    assert (message.offset, message.generation_id, message.value) == (9, 1, batch)
    batch.leave_aside()
    assert (batch.aside, len(batch), batch.values, batch.end) == (True, 0, [], 10)


def test_a_batch_gives_its_messages_whole() -> None:
    batch = batch_of(3, start=7)
    assert (batch.topic, batch.partition, len(batch)) == ("scores", 3, 3)
    assert batch.last_offset == 9
    assert batch.values == [b"v"] * 3
    assert batch.keys == [b"k"] * 3
    assert batch.message(1) == Message("scores", 3, 8, 1_700, b"k", b"v", (("h", b"1"), ("n", None)))
