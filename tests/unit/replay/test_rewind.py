"""Start points and the moves of a rewind, without a broker."""

from types import SimpleNamespace

import pytest

from stream.config import Settings
from stream.errors import UsageError
from stream.kafka.offsets import TP
from stream.replay.rewind import Move, check_idle, undo
from stream.replay.start_points import LogBounds, StartPoint, check_offsets, parse_offsets, resolve
from stream.times import parse_duration, parse_moment

A, B = TP("scorestream.app.scores", 0), TP("scorestream.app.scores", 1)
KNOWN = LogBounds(starts={A: 0, B: 10}, ends={A: 100, B: 50}, committed={A: 80})


def at(point):
    return resolve(Settings(), None, point, KNOWN)


def test_each_start_point_gives_an_offset_for_each_partition():
    assert at(StartPoint(earliest=True)) == {A: 0, B: 10}
    assert at(StartPoint(latest=True)) == {A: 100, B: 50}
    assert at(StartPoint(shift_by=-30)) == {A: 50, B: 10}  # without a committed offset: from the start
    assert at(StartPoint(offsets=(("", None, 20),))) == {A: 20, B: 20}
    assert at(StartPoint(offsets=(("scores", 1, 12),))) == {A: 80, B: 12}


def test_what_retention_took_is_refused_with_the_way_out():
    with pytest.raises(UsageError, match=r"starts at offset 10: offset 3 is gone by retention.*scorestream backfill"):
        at(StartPoint(offsets=(("", None, 3),)))


def test_offsets_beyond_the_log_are_refused():
    with pytest.raises(UsageError, match="no such partition"):
        check_offsets(Settings(), StartPoint(offsets=(("scores", 7, 1),)), KNOWN)
    with pytest.raises(UsageError, match="after the end"):
        check_offsets(Settings(), StartPoint(offsets=(("scores", 1, 51),)), KNOWN)
    check_offsets(Settings(), StartPoint(offsets=(("", None, 60),)), KNOWN)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h30m", 9000), ("1d", 86_400), ("PT10M", 600), ("P1DT1S", 86401)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "PT", "-5m"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="no duration"):
        parse_duration(text)


def test_moments_are_not_in_the_future():
    assert parse_moment("1970-01-01T00:00:01") == 1000
    assert parse_moment("now", now_ms=5) == 5
    with pytest.raises(UsageError, match="in the future"):
        parse_moment("2999-01-01")


def test_offsets_are_for_all_partitions_or_one():
    assert parse_offsets(["7"]) == (("", None, 7),)
    assert parse_offsets(["scores:3=9,chats:0=1"]) == (("scores", 3, 9), ("chats", 0, 1))
    for wrong in ("x", "scores:3", "people:0=1", "-1"):
        with pytest.raises(UsageError, match="neither a number"):
            parse_offsets([wrong])


def test_moves_count_and_undo():
    moves = [Move(A, 80, 50, 100), Move(B, None, 10, 50)]
    assert [move.messages for move in moves] == [30, 40]
    assert undo(Settings(), moves) == "scorestream rewind --to-offset scores:0=80 --execute"
    assert undo(Settings(), moves[1:]) == ""


def test_members_are_named_when_it_is_refused():
    member = SimpleNamespace(client_id="faust", host="10.0.0.7")
    lag = SimpleNamespace(group=lambda name: SimpleNamespace(members=(member, member)))
    with pytest.raises(UsageError, match=r"2 active members \(faust on 10\.0\.0\.7\): stop the workers"):
        check_idle(Settings(), lag)
    check_idle(Settings(), SimpleNamespace(group=lambda name: SimpleNamespace(members=())))
