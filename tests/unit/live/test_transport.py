"""The consumer without a broker: its last commit, and a log that begins again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import pytest
from faust.transport.consumer import Consumer, ThreadDelegateConsumer

from stream.kafka.committable import Offsets
from stream.kafka.topic_partition import TP
from stream.live.limits import Limits
from stream.live.transport import HELD_BYTES, BatchConsumer
from stream.pipeline.late import Newest
from tests.unit.live.batches import SCORES, batch_of


def fetch(offsets: Offsets, start: int, end: int, *, last: int | None = None, messages: int = 1, size: int = 0) -> int:
    last = end - 1 if last is None else last
    offsets.fetched(SCORES, start=start, end=end, last=last, messages=messages, size=size)
    return last


def consumer_of(**limits: int) -> Any:
    """A consumer that Faust has not started, with some limits changed."""
    app = SimpleNamespace(limits=replace(Limits.of(10_000), **limits), newest=Newest())
    with patch.object(ThreadDelegateConsumer, "__init__", lambda consumer, app: setattr(consumer, "app", app)):
        return BatchConsumer(app)


def test_the_last_commit_is_not_swallowed_by_one_that_is_under_way() -> None:
    async def run() -> list[int | None]:
        # given a consumer that is committing 5, while the batch up to 10 was just acknowledged
        consumer = consumer_of()
        consumer._unacked_messages = set()
        done = [fetch(consumer.offsets, 0, 5), fetch(consumer.offsets, 5, 10)]
        consumer.offsets.done(SCORES, done[0])
        committed: list[int | None] = []
        answers = asyncio.get_running_loop().create_future()

        async def force_commit(*_args: Any, **_options: Any) -> bool:
            committed.append(consumer.offsets.safe(SCORES))
            if len(committed) == 1:
                await answers
            return True

        async def commit_clean(offsets: dict[TP, int]) -> None:
            clean.append(offsets)

        clean: list[dict[TP, int]] = []
        consumer._thread = SimpleNamespace(commit_clean=commit_clean)
        consumer.force_commit, consumer.loop = force_commit, asyncio.get_running_loop()
        consumer.app = SimpleNamespace(client_only=False)
        under_way = asyncio.ensure_future(consumer.commit())
        await asyncio.sleep(0)
        consumer.offsets.done(SCORES, done[1])
        # when it waits for what is under way, before it gives the partition up
        emptied = asyncio.ensure_future(consumer.wait_empty())
        await asyncio.sleep(0)
        answers.set_result(None)
        await asyncio.gather(under_way, emptied)
        # then the partition is also marked as given up in order
        assert clean == [{SCORES: 10}]
        return committed

    # then 10 is committed too
    assert asyncio.run(run()) == [5, 10]


# A log that begins again


def consumer_with(*, end: int, committed: int | None, **limits: int) -> tuple[Any, list[tuple[TP, int]]]:
    """A consumer that has delivered one batch up to `end`, which is under way."""
    consumer = consumer_of(**limits)
    consumer._acked, consumer._acked_index = {}, {}
    consumer._committed_offset = defaultdict(lambda: None, {SCORES: committed})
    consumer._read_offset = {SCORES: end - 1}
    consumer.app = SimpleNamespace(consumer_generation_id=3)
    message = Mock(tp=SCORES, generation_id=3, offset=end - 1, acked=False)
    consumer._unacked_messages = {message}
    consumer.offsets.fetched(SCORES, start=0, end=end, last=end - 1, messages=end)
    consumer._uncommitted.delivered(SCORES, end=end, messages=end)
    sought: list[tuple[TP, int]] = []
    consumer._thread = SimpleNamespace(seek=lambda tp, at: sought.append((TP(*tp), at)), began_at=lambda _tp: 0)
    consumer._get_active_partitions = lambda: {SCORES}
    return consumer, sought


def test_a_topic_that_was_created_again_is_read_from_its_start_and_committed_from_there() -> None:
    # given a batch under way when the topic was deleted and created again
    consumer, sought = consumer_with(end=100, committed=60)
    (old,) = consumer._unacked_messages
    # when that is noticed
    consumer.restart_topics(["scores"])
    # then the new log is read from 0, and Faust drops none of it as read before
    assert sought == [(SCORES, 0)]
    assert consumer._read_offset[SCORES] is None
    # and what is acknowledged of the old log commits nothing
    assert consumer.ack(old) is False
    fetch(consumer.offsets, 0, 100)
    assert consumer.offsets.safe(SCORES) is None
    # and low offsets of the new one can be committed
    assert consumer._should_commit(SCORES, 3)
    assert consumer._uncommitted.of("scores") == 0


def test_the_committed_offset_of_an_empty_new_log_is_lowered() -> None:
    # given a topic that was created again, whose new partition is empty
    consumer, _ = consumer_with(end=100, committed=60)
    consumer.flow_active, consumer._commit = True, AsyncMock(side_effect=_Committed)
    # when that is noticed
    consumer.restart_topics(["scores"])
    # then the next turn commits offset 0 before it fetches, so that none lies behind the log's end
    with pytest.raises(_Committed):
        asyncio.run(anext(consumer.getmany(1.0)))
    consumer._commit.assert_awaited_once_with({SCORES: 0})


def test_a_log_that_lost_its_end_is_read_from_where_the_brokers_reset_to() -> None:
    # given a position beyond the end of a log that was cut
    consumer, _ = consumer_with(end=100, committed=100)
    assert consumer._expected(SCORES) == 100
    # when the fetcher begins at the log's start
    consumer._restart(SCORES, 100, 0)
    # then the batch there follows, and its offsets can be committed
    assert consumer._follows(SCORES, 0)
    fetch(consumer.offsets, 0, 5)
    consumer.offsets.done(SCORES, 4)
    assert consumer.offsets.safe(SCORES) == 5
    assert consumer._should_commit(SCORES, 5)


def test_fetching_stops_while_commits_stall() -> None:
    # given acknowledged batches that the group's coordinator does not commit
    consumer = consumer_of(uncommitted_messages=100)
    for start in (0, 60):
        fetch(consumer.offsets, start, start + 60, messages=60)
        consumer.offsets.done(SCORES, start + 59)
        consumer._uncommitted.delivered(SCORES, end=start + 60, messages=60)
    # then no more of the topic is fetched until the commit has passed some
    assert consumer._is_full("scores")
    consumer._uncommitted.committed(SCORES, 60)
    assert not consumer._is_full("scores")


class _Committed(Exception):
    pass


def test_a_commit_does_not_wait_for_its_interval_when_much_is_acknowledged() -> None:
    # given 120 messages delivered, 60 of them acknowledged, and the rest under way
    consumer = consumer_of()
    consumer.flow_active, consumer._get_active_partitions = True, lambda: {SCORES}
    consumer.commit = AsyncMock(side_effect=_Committed)
    for start in (0, 60):
        fetch(consumer.offsets, start, start + 60, messages=60)
        consumer._uncommitted.delivered(SCORES, end=start + 60, messages=60)
    consumer.offsets.done(SCORES, 59)
    # then a limit that is not reached commits nothing before the next fetch
    consumer.limits = replace(consumer.limits, commit_messages=61)
    assert not consumer._is_due("scores")
    # and one that is reached commits first
    consumer.limits = replace(consumer.limits, commit_messages=60)
    with pytest.raises(_Committed):
        asyncio.run(anext(consumer.getmany(1.0)))


def test_what_is_left_aside_stops_its_own_partition_alone_and_no_rebalance_waits_for_it() -> None:
    # given a batch that is left aside, and one that follows it
    limits = {"hold_messages": 150, "uncommitted_messages": 150, "commit_messages": 50}
    consumer, _ = consumer_with(end=100, committed=None, **limits)
    (message,) = consumer._unacked_messages
    message.value = batch_of(100)
    consumer.leave_aside(message)
    assert consumer.offsets.held("scores").messages == 0
    assert consumer._under_way() == 0, "a rebalance would wait for it"
    # when much of the partition follows, and is done
    consumer.offsets.fetched(SCORES, start=100, end=200, last=199, messages=100)
    consumer._uncommitted.delivered(SCORES, end=200, messages=100)
    consumer.offsets.done(SCORES, 199)
    # then nothing may be committed, no commit is due, and only this partition waits
    assert consumer.offsets.safe(SCORES) is None
    assert not consumer._is_due("scores")
    assert consumer._is_far_behind(SCORES)
    assert not consumer._is_full("scores")
    # when it is acknowledged, then all may be committed
    consumer._acked, message.acked = {SCORES: [99]}, True
    with patch.object(Consumer, "ack", return_value=True):
        assert consumer.ack(message)
    assert consumer.offsets.safe(SCORES) == 200
    assert not consumer._is_far_behind(SCORES)
    assert consumer._is_due("scores")


def test_what_is_left_aside_of_an_earlier_generation_counts_for_nothing() -> None:
    consumer, _ = consumer_with(end=100, committed=None)
    (message,) = consumer._unacked_messages
    message.value, message.generation_id = batch_of(100), 2
    consumer.leave_aside(message)
    assert message.value.aside
    assert consumer.offsets.held("scores").messages == 100, "of the present generation's own batch"
    assert not consumer.ack(message)
    assert consumer._uncommitted.of("scores") == 100


@pytest.mark.parametrize("has_letters", [True, False])
def test_the_bytes_of_dead_letters_that_wait_count_as_held(has_letters: bool) -> None:
    # given a batch that is left aside, with or without dead letters that wait for that
    consumer, _ = consumer_with(end=100, committed=None)
    consumer.offsets.fetched(SCORES, start=100, end=200, last=199, messages=100, size=HELD_BYTES)
    message = Mock(tp=SCORES, generation_id=3, offset=199, acked=False, value=batch_of(100, start=100))
    message.value.has_letters = has_letters
    assert consumer._is_full("scores")
    consumer.leave_aside(message)
    # then fetching goes on only where nothing of it stays in memory
    assert consumer._is_full("scores") is has_letters
