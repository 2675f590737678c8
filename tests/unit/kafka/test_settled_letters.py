"""Which dead letters are open: ranges of offsets, the latest settlement, letters of another topic of the same name."""

from __future__ import annotations

import msgspec
import pytest

from stream.kafka.dead_letters import Kept
from stream.kafka.settled_letters import OPEN, Settled, Settlement, State, runs
from stream.pipeline.dead_letter import DeadLetter, Message


def _kept(offset: int, *, partition: int = 0, refused_at_ms: int = 1_000) -> Kept:
    message = Message("s.app.scores", 3, 40, 900, b"k", b"v")
    return Kept(partition, offset, DeadLetter(message, "not_json", "no JSON", refused_at_ms))


def _settled(*entries: tuple[str, State, int]) -> Settled:
    return Settled({key: msgspec.json.encode(Settlement(state, at_ms)) for key, state, at_ms in entries})


def test_neighbours_are_one_run() -> None:
    letters = [(0, offset) for offset in range(100_000)] + [(1, 5), (0, 200_000), (1, 6), (1, 6)]
    assert runs(letters) == [(0, 0, 99_999), (0, 200_000, 200_000), (1, 5, 6)]


def test_no_letter_is_settled_where_nothing_was() -> None:
    assert Settled().state(_kept(7)) == OPEN


@pytest.mark.parametrize(("offset", "state"), [(9, OPEN), (10, "acked"), (15, "acked"), (20, "acked"), (21, OPEN)])
def test_a_run_settles_its_letters(offset: int, state: str) -> None:
    assert _settled(("0/10-20", "acked", 5_000)).state(_kept(offset)) == state


def test_the_latest_of_overlapping_runs_holds() -> None:
    settled = _settled(("0/0-99", "discarded", 5_000), ("0/10-10", "reindexed", 6_000), ("0/12-13", "acked", 7_000))
    assert [settled.state(_kept(offset)) for offset in (9, 10, 12, 14, 99)] == [
        "discarded", "reindexed", "acked", "discarded", "discarded",
    ]  # fmt: skip


def test_another_partition_is_not_settled() -> None:
    assert _settled(("1/0-9", "acked", 5_000)).state(_kept(5)) == OPEN


def test_a_letter_that_was_refused_after_the_settlement_is_open() -> None:
    # the topic was created again, and its offsets begin at 0
    assert _settled(("0/0-9", "acked", 5_000)).state(_kept(5, refused_at_ms=5_001)) == OPEN


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [(0, 100, 16), (12, 15, 3), (30, 100, 1), (0, 5, 0), (21, 30, 0), (40, 41, 1), (41, 50, 0), (0, 7, 2)],
)
def test_letters_in_overlapping_runs_are_counted_once(start: int, end: int, count: int) -> None:
    settled = _settled(("0/10-14", "acked", 5_000), ("0/12-20", "acked", 6_000), ("0/15-16", "acked", 6_000),
                       ("0/17-20", "acked", 6_000), ("0/31-34", "acked", 900), ("0/40-40", "acked", 6_000),
                       ("1/0-99", "acked", 6_000), ("0/5-8", "acked", 5_000))  # fmt: skip
    assert settled.count(0, start, end, first_ms=1_000) == count


def test_what_was_settled_before_the_first_letter_came_is_of_another_topic() -> None:
    assert _settled(("0/0-9", "acked", 5_000)).count(0, 0, 10, first_ms=5_001) == 0
