"""Messages that are delivered and not committed, and those behind a batch that was left aside."""

from __future__ import annotations

from stream.kafka.topic_partition import TP
from stream.live.uncommitted import Uncommitted
from tests.unit.live.batches import SCORES


def test_a_message_counts_until_the_brokers_have_its_offset() -> None:
    # given two batches of one partition and one of another
    counted, other = Uncommitted(), TP("scores", 4)
    counted.delivered(SCORES, end=10, messages=10)
    counted.delivered(SCORES, end=30, messages=15)
    counted.delivered(other, end=5, messages=5)
    assert counted.of("scores") == 30
    # when a commit lies within the second, only the first is committed
    counted.committed(SCORES, 29)
    assert counted.of("scores") == 20
    counted.forget([other])
    counted.committed(SCORES, 30)
    assert counted.of("scores") == 0


def test_a_partition_where_a_batch_is_left_aside_is_counted_for_itself() -> None:
    # given two partitions of a topic
    counted, other = Uncommitted(), TP("scores", 4)
    counted.delivered(SCORES, end=10, messages=10)
    counted.delivered(other, end=5, messages=5)
    # when a batch of one is left aside, then the topic's count has the other alone
    counted.leave_aside(SCORES)
    assert (counted.of("scores"), counted.behind_aside(SCORES), counted.behind_aside(other)) == (5, 10, 0)
    # when it is acknowledged, or the partition is given up, then it is as others
    counted.take_back(SCORES)
    assert (counted.of("scores"), counted.behind_aside(SCORES)) == (15, 0)
    counted.leave_aside(SCORES)
    counted.forget([SCORES])
    counted.delivered(SCORES, end=10, messages=10)
    assert (counted.of("scores"), counted.behind_aside(SCORES)) == (15, 0)
