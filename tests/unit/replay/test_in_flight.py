"""Batches between the reader and the commit: offsets follow the slowest batch, and nothing lost is committed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from stream.errors import UsageError
from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.replay.in_flight import InFlight
from stream.replay.plan import PassKind
from stream.replay.tally import Worked
from testbed.universe import wait_for

SCORES, CARDS = TP("s.app.scores", 0), TP("s.app.scorecards", 0)


class FakeMessage:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def __len__(self) -> int:
        return 1

    def offset(self) -> int:
        return self._offset


def stretch(tp: TP, start: int, end: int) -> Stretch:
    return Stretch(tp, [FakeMessage(offset) for offset in range(start, end)], start=start, end=end)


class World:
    """Work that waits for each table's order to go on, and a reader that remembers what is committed."""

    def __init__(self) -> None:
        self.go = {"scores": threading.Event(), "scorecards": threading.Event()}
        self.fault: Exception | None = None
        self.commits: list[dict[TP, int]] = []
        reader: Any = self
        self.flight = InFlight(self.work, reader, lambda step: step(), threads=2)

    def work(self, table: str, stretches: Sequence[Stretch], kind: PassKind) -> Worked:
        assert self.go[table].wait(5)
        if self.fault is not None:
            raise self.fault
        return Worked(sum(map(len, stretches)))

    def commit(self, offsets: Mapping[TP, int]) -> None:
        self.commits.append(dict(offsets))

    def submit(self, *, most: int = 2, everything: bool = True) -> None:
        self.flight.submit("main", most=most, messages=10, everything=everything)

    def finish(self, table: str, messages: int) -> None:
        self.go[table].set()
        found: list[tuple[str, Worked]] = []

        def ended() -> bool:
            found.extend(self.flight.finished(timeout_s=0.1))
            return bool(found)

        wait_for(f"the batch of {table}", ended, deadline_s=5)
        assert [(topic, worked.messages) for topic, worked in found] == [(f"s.app.{table}", messages)]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    for go in made.go.values():
        go.set()
    made.flight.close()


def test_offsets_are_committed_as_far_as_everything_before_is_done(world: World) -> None:
    # given a batch of each table under way
    world.flight.gather([stretch(SCORES, 0, 3), stretch(CARDS, 5, 7)])
    world.submit()
    assert world.flight.under_way == 2
    # when one of them ends
    world.finish("scorecards", 2)
    world.flight.commit()
    # then the other's partition stays where it was
    assert world.commits == [{CARDS: 7}]
    world.finish("scores", 3)
    world.flight.commit()
    assert world.commits[1:] == [{SCORES: 3}]
    # and what has not moved is not committed again
    world.flight.commit()
    assert len(world.commits) == 2
    assert not world.flight.commit_is_due


def test_no_more_than_the_most_are_under_way_and_a_batch_waits_until_it_is_full(world: World) -> None:
    world.flight.gather([stretch(SCORES, 0, 3), stretch(CARDS, 0, 10)])
    world.submit(everything=False)
    assert world.flight.under_way == 1
    assert not world.flight.has_full(10)
    world.submit(most=1)
    assert world.flight.under_way == 1
    world.submit()
    assert world.flight.under_way == 2


def test_batches_that_find_no_thread_stay_gathered(world: World) -> None:
    world.flight.gather([stretch(SCORES, 0, 3), stretch(CARDS, 0, 3)])
    world.submit(most=1)
    assert world.flight.under_way == 1
    world.submit()
    assert world.flight.under_way == 2


def test_a_partition_that_is_given_up_is_neither_worked_on_nor_committed(world: World) -> None:
    # given one batch under way and another one gathered
    world.flight.gather([stretch(CARDS, 0, 2)])
    world.submit()
    world.flight.gather([stretch(SCORES, 0, 3)])
    # when both partitions may have gone to another process
    world.flight.give_up([SCORES, CARDS])
    world.submit()
    world.finish("scorecards", 2)
    world.flight.commit()
    # then
    assert world.flight.under_way == 0
    assert not world.commits


def test_a_batch_that_fails_raises_its_error_and_is_not_committed(world: World) -> None:
    world.fault = UsageError("no")
    world.flight.gather([stretch(SCORES, 0, 3)])
    world.submit()
    world.go["scores"].set()
    with pytest.raises(UsageError, match="no"):
        world.flight.finished(timeout_s=5)
    world.flight.commit()
    assert not world.commits
