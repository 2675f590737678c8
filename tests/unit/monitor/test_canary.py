"""The canary: both ends of the path compared."""

from __future__ import annotations

import pytest

from stream.monitor.canary import CanaryTrack, SeenBeat
from tests.unit.monitor.situations import NOW


def test_canary_late_and_back() -> None:
    track = CanaryTrack()
    first, second = SeenBeat(1, NOW, NOW + 0.1), SeenBeat(2, NOW + 5, NOW + 5.2)
    assert track.look(NOW + 1, first, [first, first]).state == "ok"
    late = track.look(NOW + 12, second, [first, second])
    assert (late.state, late.late_s) == ("late", 7.0)
    back = track.look(NOW + 13, second, [second, second])
    assert (back.state, back.late_s) == ("ok", 0.0)
    assert back.round_trip_s == pytest.approx(0.2)


def test_a_beat_that_came_after_the_shards_were_read_is_not_late() -> None:
    track, first, second = CanaryTrack(), SeenBeat(1, NOW, NOW + 0.1), SeenBeat(2, NOW + 5, NOW + 5.2)
    track.look(NOW + 1, first, [first, first], read_at=NOW + 1)
    assert track.look(NOW + 8, second, [first, first], read_at=NOW + 6).state == "ok"
    assert track.look(NOW + 9, second, [first, first], read_at=NOW + 9).late_s == 4


def test_canary_is_silent_when_nobody_writes() -> None:
    first = SeenBeat(1, NOW, NOW + 0.1)
    silent = CanaryTrack().look(NOW + 60, first, [first])
    assert (silent.state, silent.as_of) == ("silent", NOW)


def test_canary_without_a_worker_that_writes_beats_says_nothing() -> None:
    assert CanaryTrack().look(NOW, SeenBeat(5, NOW), [None, None]).state == "absent"


def test_a_heartbeat_row_that_counts_again_from_one_is_not_taken_for_arrived() -> None:
    # given ninety beats that came through
    track, old = CanaryTrack(), SeenBeat(90, NOW, NOW + 0.1)
    assert track.look(NOW + 1, old, [old]).state == "ok"
    # when the row was deleted, counts again from 1, and the worker has ended
    again = SeenBeat(1, NOW + 10, None)
    # then the path is late, though ClickHouse has a higher number
    late = track.look(NOW + 20, again, [old])
    assert (late.state, late.late_s) == ("late", 10.0)
    # and fine when the new beat is there, also after a merge has dropped it in favour of the higher number
    there = SeenBeat(1, NOW + 10, NOW + 10.2)
    assert track.look(NOW + 21, again, [there]).state == "ok"
    assert track.look(NOW + 22, again, [old]).state == "ok"
