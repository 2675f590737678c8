"""Backfills, by their topic alone: how many rows of the plan are read, and whether a process works on it. Reads only.

Enters: the backfills' topic. Leaves: `readings.Backfill` values. A step under way counts when it is done.
"""

from __future__ import annotations

import time

from stream.backfill import state as backfill_state
from stream.kafka.broker import Broker
from stream.monitor.readings import BackfillReading

SHOWN_S = 86_400.0  # how long a backfill that ended is shown


class BackfillSource:
    """For one thread; `close` it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._topic: backfill_state.BackfillTopic | None = None

    def read(self) -> list[BackfillReading]:
        """Backfills under way, and those that ended lately.

        Raises:
            KafkaUnavailable: the brokers do not answer.
        """
        if self._topic is None:
            # BackfillTopic creates a missing topic, and a reader must not.
            if not self._broker.partitions([self._broker.topics.backfills]):
                return []
            self._topic = backfill_state.BackfillTopic(self._broker)
        since = time.time() - SHOWN_S
        return [
            _view(each)
            for each in self._topic.refresh().values()
            if each.result is None or each.result.at_ms / 1000 >= since
        ]

    def close(self) -> None:
        self._broker.close()
        if self._topic is not None:
            self._topic.close()


def _view(backfill: backfill_state.Backfill) -> BackfillReading:
    total = backfill.plan.rows
    rows = sum(each.rows for each in backfill.done.values())
    seconds = sum(each.seconds for each in backfill.done.values())
    per_s = rows / seconds if seconds > 0 else 0.0
    return BackfillReading(
        name=backfill.plan.name,
        total=total,
        done=rows,
        per_s=per_s,
        eta_s=max(0, total - rows) / per_s if per_s and backfill.result is None else None,
        running=backfill.driven and backfill.result is None,
    )
