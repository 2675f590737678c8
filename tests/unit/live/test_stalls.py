"""Which partitions stand still, without a broker: what counts as progress."""

from __future__ import annotations

import pytest

from stream.errors import ClickHouseUnavailable
from stream.kafka.committable import PartitionProgress
from stream.kafka.topic_partition import TP
from stream.live.stalls import Seen, Stalls, Tries, see

SCORES = TP("scores", 3)


def seen(*, committed: int | None = 10, position: int | None = 10, end: int = 20, tries: int = 0) -> dict[TP, Seen]:
    return {SCORES: Seen(position, committed, end, tries)}


def test_time_adds_up_while_messages_wait_and_nothing_moves() -> None:
    stalls = Stalls()
    assert stalls.look(seen(), elapsed_s=5) == {SCORES: 0}  # the time before the first look is not known
    assert stalls.look(seen(), elapsed_s=5) == {SCORES: 5}
    # more messages that wait are no progress
    assert stalls.look(seen(end=99), elapsed_s=5) == {SCORES: 10}


@pytest.mark.parametrize(
    "progress",
    [
        pytest.param(seen(position=11), id="delivered"),
        pytest.param(seen(committed=11), id="committed"),
        pytest.param(seen(tries=1), id="tried again"),
    ],
)
def test_any_movement_is_progress(progress: dict[TP, Seen]) -> None:
    stalls = Stalls()
    for _ in range(3):
        stalls.look(seen(), elapsed_s=5)
    assert stalls.look(progress, elapsed_s=5) == {SCORES: 0}


def test_nothing_waits_nothing_stalls() -> None:
    stalls = Stalls()
    for _ in range(3):
        assert stalls.look(seen(committed=20, end=20), elapsed_s=50) == {}
    # and what comes after a quiet hour has its whole time
    assert stalls.look(seen(committed=20, end=21), elapsed_s=50) == {SCORES: 0}


def test_a_partition_that_was_given_away_is_forgotten() -> None:
    stalls = Stalls()
    stalls.look(seen(), elapsed_s=5)
    stalls.look(seen(), elapsed_s=5)
    stalls.look({}, elapsed_s=5)
    assert stalls.look(seen(), elapsed_s=5) == {SCORES: 0}
    stalls.forget()
    assert stalls.look(seen(), elapsed_s=5) == {SCORES: 0}


def test_done_is_what_the_brokers_have_as_committed() -> None:
    # given a worker that has delivered all, and takes it for committed
    how = PartitionProgress(position=7, committed=7, end=7, answered_at=None, waiting=0)
    # then something waits until the group's offsets say so too
    assert see({SCORES: how}, {SCORES: 7}, {}, {})[SCORES].waiting == 7
    assert see({SCORES: how}, {SCORES: 7}, {SCORES: 7}, {})[SCORES].waiting == 0
    # a partition whose end no broker told is not judged
    assert see({SCORES: how}, {}, {}, {}) == {}


def test_tries_count_in_long_batches_only() -> None:
    now = 0.0
    tries = Tries(40, clock=lambda: now)
    answers = iter([ClickHouseUnavailable("away"), ClickHouseUnavailable("away"), 5])

    def step() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def retry(tried):  # type: ignore[no-untyped-def]
        nonlocal now
        while True:
            try:
                return tried()
            except ClickHouseUnavailable:
                now += 8

    tries.batch()
    assert tries.watch(retry)(step) == 5
    assert tries.count == 1  # at 0 s and 8 s the batch was not long yet; at 16 s it was
