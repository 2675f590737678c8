"""Readings: when an answer counts, and what is known without one."""

from __future__ import annotations

import pytest

from stream.monitor.readings import Answer, short
from tests.unit.monitor.situations import fresh


@pytest.mark.parametrize(
    ("source", "ok"),
    [
        (Answer("kafka"), False),
        (Answer("kafka", value=1, at=5.0), True),
        (Answer("kafka", value=1, at=5.0, error="no answer", error_since=6.0), False),
        (Answer("connect", value=None, at=5.0), True),
    ],
    ids=["never asked", "answered", "answered before the error", "answered with nothing"],
)
def test_an_answer_counts_until_an_error_follows_it(source: Answer[int], ok: bool) -> None:
    assert source.ok is ok


def test_without_an_answer_of_kafka_no_partition_is_known() -> None:
    assert fresh(kafka=Answer("kafka")).partitions == {}
    assert len(fresh().partitions) == 48


def test_a_topic_is_shown_by_its_table() -> None:
    assert short("scorestream.app.scores") == "scores"
