"""How far each assigned partition is, out of aiokafka's own state. Asks no broker; for any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faust.types import TP as FaustTP

from stream.kafka.committable import Offsets, PartitionProgress
from stream.kafka.topic_partition import TP


def positions(consumer: Any, committed: Mapping[FaustTP, int | None], offsets: Offsets) -> dict[TP, PartitionProgress]:
    """The progress of the partitions that an AIOKafkaConsumer is assigned; None: there is no consumer yet.

    Args:
        committed: as Faust has committed them, or found them.
        offsets: what was fetched, and what of it is done.
    """
    subscription = None if consumer is None else consumer._subscription.subscription
    assignment: Any = None if subscription is None else subscription.assignment
    found: dict[TP, PartitionProgress] = {}
    for tp in () if assignment is None else assignment.tps:
        state = assignment.state_value(tp)
        delivered = offsets.end(TP(*tp))
        found[TP(*tp)] = PartitionProgress(
            position=state._position if delivered is None else delivered,
            committed=committed.get(FaustTP(*tp)),
            end=state.lso,
            answered_at=None if state.timestamp is None else state.timestamp / 1000,
            waiting=offsets.held(tp.topic).messages,
        )
    return found
