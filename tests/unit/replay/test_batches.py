"""Gathering: a batch is full by messages or bytes, tables are apart, dropped partitions leave nothing."""

from __future__ import annotations

import pytest

from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.replay import batches
from stream.replay.batches import Batches

SCORES, OTHER, CARDS = TP("p.app.scores", 0), TP("p.app.scores", 1), TP("p.app.scorecards", 0)


class FakeMessage:
    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def _stretch(tp: TP, messages: int, size: int = 1) -> Stretch:
    return Stretch(tp, [FakeMessage(size)] * messages, start=0, end=messages)


def _taken(gathered: Batches, at_most: int, *, everything: bool = False) -> dict[str, int]:
    return {table: sum(map(len, found)) for table, found in gathered.take(at_most, everything=everything)}


def test_a_batch_is_taken_when_it_has_its_messages() -> None:
    gathered = Batches()
    gathered.add(_stretch(SCORES, 6))
    gathered.add(_stretch(CARDS, 9))
    assert not gathered.any_full(10)
    assert _taken(gathered, 10) == {}
    gathered.add(_stretch(OTHER, 4))
    assert gathered.any_full(10)
    assert _taken(gathered, 10) == {"scores": 10}
    assert _taken(gathered, 10, everything=True) == {"scorecards": 9}
    assert _taken(gathered, 10, everything=True) == {}


def test_a_batch_of_large_messages_is_full() -> None:
    gathered = Batches()
    gathered.add(_stretch(SCORES, 2, size=batches.BATCH_BYTES // 2))
    assert _taken(gathered, 10) == {"scores": 2}


def test_a_batch_that_is_not_taken_stays() -> None:
    gathered = Batches()
    gathered.add(_stretch(SCORES, 1))
    gathered.add(_stretch(CARDS, 1))
    taking = gathered.take(10, everything=True)
    next(taking)
    taking.close()  # type: ignore[attr-defined]
    assert _taken(gathered, 10, everything=True) == {"scorecards": 1}


@pytest.mark.parametrize(
    ("dropped", "left"), [({SCORES}, {"scores": 3}), ({SCORES, OTHER}, {}), (set(), {"scores": 5})]
)
def test_dropped_partitions_are_left_out(dropped: set[TP], left: dict[str, int]) -> None:
    gathered = Batches()
    gathered.add(_stretch(SCORES, 2))
    gathered.add(_stretch(OTHER, 3))
    gathered.drop(dropped)
    assert gathered.any_full(5) == (left == {"scores": 5})
    assert _taken(gathered, 5, everything=True) == left
