"""Lanes of a replay: claimed, begun where the group has come, released, lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from stream.errors import PostgresUnavailable, UsageError
from stream.kafka.committable import Offsets
from stream.kafka.topic_partition import TP
from stream.replay.claims import Claims
from stream.replay.lanes import ADVANCE
from stream.replay.plan import Pass, ReplayPlan, Span

SPANS = [Span("t.app.scores", lane, 0, 10 + lane) for lane in range(3)]
MAIN = Pass("main", tuple(SPANS))
PLAN = ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=MAIN, ends=tuple(SPANS))
T0, T1, T2 = (span.tp for span in SPANS)


class Lanes:
    """Locks, some of which other processes hold."""

    def __init__(self) -> None:
        self.others: set[int] = set()
        self.held: set[int] = set()
        self.gone: set[int] = set()
        self.away = False

    def claim(self, lane: int) -> bool:
        if lane in self.others:
            return False
        self.held.add(lane)
        return True

    def release(self, lane: int) -> None:
        if self.away:
            raise PostgresUnavailable("no connection")
        self.held.discard(lane)

    def check(self) -> set[int]:
        self.held -= self.gone
        return self.gone


class Reader:
    def __init__(self) -> None:
        self.at: dict[TP, int] = {span.tp: 0 for span in SPANS}
        self.reading: set[TP] = set()
        self.added: dict[TP, tuple[int, int]] = {}

    def committed(self, tps: Sequence[TP]) -> dict[TP, int]:
        return {tp: self.at[tp] for tp in tps if tp in self.at}

    def add(self, spans: Mapping[TP, tuple[int, int]]) -> None:
        self.added |= spans
        self.reading |= spans.keys()

    def drop(self, tps: Iterable[TP]) -> None:
        self.reading -= set(tps)


class Process:
    """One process's claims with systems in memory."""

    def __init__(self) -> None:
        self.lanes, self.reader = Lanes(), Reader()
        lanes: Any = self.lanes
        reader: Any = self.reader
        self.begun: list[dict[TP, int]] = []
        self.claims = Claims(PLAN, lanes, reader, lambda step: step(), lambda at: self.begun.append(dict(at)))


def test_the_longest_lanes_are_claimed_first_and_two_are_read_at_a_time() -> None:
    own = Process()
    for _ in range(4):
        own.claims.claim(MAIN)
    assert own.claims.lanes == [1, 2]
    assert own.lanes.held == {1, 2}


def test_a_lane_begins_where_the_group_has_come_and_a_finished_one_is_let_go() -> None:
    # given a lane that is done and one that is half done
    own = Process()
    own.reader.at |= {T2: 12, T1: 4}
    # when lanes are claimed
    own.claims.claim(MAIN)
    # then the rest of the second is read, and nobody holds the first
    assert own.reader.added == {T1: (4, 11)}
    assert own.begun == [{T1: 4}]
    assert own.lanes.held == {1}


def test_lanes_of_others_are_left_until_the_group_shows_that_they_are_not_done() -> None:
    # given another process that holds a lane, and dies after a while
    own = Process()
    own.lanes.others = {0}
    own.reader.at |= {T1: 11, T2: 12}
    own.claims.claim(MAIN)
    assert own.claims.lanes == []
    assert own.claims.left(MAIN)
    own.lanes.others.clear()
    own.claims.at_once()
    # when it is tried again
    own.claims.claim(MAIN)
    # then its lane is read
    assert own.reader.added == {T0: (0, 10)}


def test_a_lane_ends_when_everything_before_its_end_is_done() -> None:
    own = Process()
    own.claims.claim(MAIN)
    offsets = Offsets()
    offsets.fetched(T2, start=0, end=12, last=9)
    assert own.claims.ended(offsets) == []
    offsets.done(T2, 9)
    assert own.claims.ended(offsets) == [2]
    # when it is finished
    assert list(own.claims.finish(2)) == [T2]
    # then it is released, also where the connection is gone, and not claimed again
    assert own.lanes.held == set()
    own.lanes.away = True
    own.claims.at_once()
    own.reader.reading.clear()
    own.claims.claim(MAIN)
    assert own.claims.lanes == [1]


def test_a_lost_lane_is_no_longer_read_and_its_batches_are_not_ours() -> None:
    own = Process()
    own.claims.claim(MAIN)
    stretch: Any = type("S", (), {"partition": 2})
    assert own.claims.still_mine([stretch])
    own.lanes.gone = {2, ADVANCE}
    assert own.claims.lost() == [T2]
    assert own.reader.reading == set()
    assert not own.claims.still_mine([stretch])


def test_one_process_starts_the_next_pass() -> None:
    own, steps = Process(), []
    assert own.claims.alone(lambda: steps.append("mine"))
    own.lanes.others = {ADVANCE}
    assert not own.claims.alone(lambda: steps.append("other's"))
    assert steps == ["mine"]
    assert own.lanes.held == set()


def test_offsets_that_expired_are_refused() -> None:
    own = Process()
    del own.reader.at[T1]
    with pytest.raises(UsageError, match="no longer has the offsets"):
        own.claims.left(MAIN)
