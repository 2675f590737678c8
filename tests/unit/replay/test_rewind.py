"""The moves of a rewind, without a broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stream.errors import UsageError
from stream.kafka.topic_partition import TP
from stream.replay.rewind import Move, check_idle, undo
from stream.settings_sections import KafkaSettings
from stream.times import parse_duration, parse_moment
from stream.topic_names import TopicNames

A, B = TP("scorestream.app.scores", 0), TP("scorestream.app.scores", 1)


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


def test_moves_count_and_undo():
    moves = [Move(A, 80, 50, 100), Move(B, None, 10, 50)]
    assert [move.messages for move in moves] == [30, 40]
    assert undo(TopicNames("scorestream", "app", "dl"), moves) == "scorestream rewind --to-offset scores:0=80 --yes"
    assert undo(TopicNames("scorestream", "app", "dl"), moves[1:]) == ""


def test_members_are_named_when_it_is_refused():
    member = SimpleNamespace(client_id="faust", host="10.0.0.7")
    settings = KafkaSettings()
    broker = SimpleNamespace(
        live_group="live", settings=settings, group=lambda name: SimpleNamespace(members=(member, member))
    )
    with pytest.raises(UsageError, match=r"2 active members \(faust on 10\.0\.0\.7\): stop the workers"):
        check_idle(broker)
    check_idle(SimpleNamespace(live_group="live", group=lambda name: SimpleNamespace(members=())))
