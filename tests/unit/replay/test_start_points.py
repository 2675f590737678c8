"""Start points in Kafka's own words, without a broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stream.errors import UsageError
from stream.kafka.topic_partition import TP
from stream.replay.start_points import LogBounds, StartPoint, check_offsets, parse_offsets, resolve
from stream.topic_names import TopicNames

A, B = TP("scorestream.app.scores", 0), TP("scorestream.app.scores", 1)


TOPICS = TopicNames("scorestream", "app", "dl")
BROKER = SimpleNamespace(topics=TOPICS)
KNOWN = LogBounds(starts={A: 0, B: 10}, ends={A: 100, B: 50}, committed={A: 80})


def at(point):
    return resolve(BROKER, point, KNOWN)


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
        check_offsets(TOPICS, StartPoint(offsets=(("scores", 7, 1),)), KNOWN)
    with pytest.raises(UsageError, match="after the end"):
        check_offsets(TOPICS, StartPoint(offsets=(("scores", 1, 51),)), KNOWN)
    check_offsets(TOPICS, StartPoint(offsets=(("", None, 60),)), KNOWN)


def test_offsets_are_for_all_partitions_or_one():
    assert parse_offsets(["7"]) == (("", None, 7),)
    assert parse_offsets(["scores:3=9,chats:0=1"]) == (("scores", 3, 9), ("chats", 0, 1))
    for wrong in ("x", "scores:3", "people:0=1", "-1"):
        with pytest.raises(UsageError, match="neither a number"):
            parse_offsets([wrong])
