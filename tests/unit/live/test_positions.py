"""Positions out of aiokafka's state: what was delivered counts before what was fetched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from stream.kafka.committable import Offsets, PartitionProgress
from stream.kafka.topic_partition import TP
from stream.live.positions import positions
from tests.unit.live.batches import SCORES

OTHER = TP("scores", 4)


def consumer_of(*tps: TP) -> Any:
    state = SimpleNamespace(_position=70, lso=90, timestamp=5_000)
    assignment = SimpleNamespace(tps=tps, state_value=lambda _: state)
    return SimpleNamespace(_subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)))


def test_a_partition_is_as_far_as_it_was_delivered_or_else_fetched() -> None:
    offsets = Offsets()
    offsets.fetched(SCORES, start=40, end=50, last=49, messages=10)
    found = positions(consumer_of(SCORES, OTHER), {SCORES: 40, OTHER: None}, offsets)
    assert found == {SCORES: PartitionProgress(50, 40, 90, 5.0, 10), OTHER: PartitionProgress(70, None, 90, 5.0, 10)}


def test_without_a_consumer_or_an_assignment_nothing_is_known() -> None:
    assert positions(None, {}, Offsets()) == {}
    none = SimpleNamespace(_subscription=SimpleNamespace(subscription=None))
    assert positions(none, {}, Offsets()) == {}
