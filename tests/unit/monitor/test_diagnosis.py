"""The diagnosis: each trouble shows as itself, and only as itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream.kafka.topic_partition import TP
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.finding import NOTE
from stream.monitor.lag import LagLimits, PartitionLook, Track
from stream.monitor.readings import Answer
from tests.unit.monitor.situations import NOW, fresh, situations

TROUBLE = [name for name in situations() if name not in ("fresh", "replaying", "lagging", "rewind")]


@pytest.mark.parametrize("name", TROUBLE)
def test_each_trouble_is_the_only_root(name: str) -> None:
    readings = situations()[name]
    roots = [each for each in findings(readings) if each.because is None and each.level != NOTE]
    assert [each.id for each in roots] == [name]
    head = headline(readings, findings(readings), freshness(readings))
    assert head.id == name
    assert head.level in ("stuck", "late", "unknown")


@pytest.mark.parametrize("name", ["fresh", "replaying", "rewind"])
def test_what_is_no_trouble_is_fresh(name: str) -> None:
    readings = situations()[name]
    how = freshness(readings)
    assert how.seconds == 0
    assert headline(readings, findings(readings), how).level == "fresh"


def test_catching_up_says_how_long_it_takes() -> None:
    readings = situations()["lagging"]
    head = headline(readings, findings(readings), freshness(readings))
    assert head.level == "busy"
    assert "caught up in about" in head.sentence


def test_a_killed_worker_is_named_before_kafka_notices() -> None:
    readings = situations()["process-silent"]
    head = headline(readings, findings(readings), freshness(readings))
    assert "host-b (pid 4711) does not answer for 40 s" in head.sentence


def test_an_old_answer_of_kafka_is_not_freshness() -> None:
    assert freshness(fresh(kafka=situations()["kafka-unreachable"].kafka)).seconds is None


def test_an_age_grows_between_looks_only_where_the_same_message_waits() -> None:
    def told(*looks: PartitionLook, at: float) -> float | None:
        track = Track(LagLimits())
        lags = {TP("p.app.scores", 1): track.add(look) for look in looks}
        kafka = replace(situations()["fresh"].kafka.value, partitions=lags)
        return freshness(fresh(now=at, kafka=Answer("kafka", kafka, looks[-1].at))).seconds

    first = PartitionLook(NOW, 0, 100, 50, True, NOW - 0.3, "w")
    # given messages that flow; then their age at the last look is shown until the next look
    flow = PartitionLook(NOW + 2, 0, 120, 90, True, NOW + 1.5, "w")
    assert told(first, flow, at=NOW + 3.9) == pytest.approx(0.5)
    # and given the same message twice, then its age grows
    assert told(first, first._replace(at=NOW + 2), at=NOW + 3.9) == pytest.approx(4.2)
