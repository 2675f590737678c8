"""All sources of the monitor, each asked by a poller of its own.

Enters: the sources. Leaves: the newest answer of each. It never waits for one that hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from stream.connect.rest import ConnectorStatus
from stream.monitor.customers import Customers, Waits
from stream.monitor.readings import BackfillReading, Kafka, ReplayReading
from stream.monitor.sources.backfills import BackfillSource
from stream.monitor.sources.customers import CustomerSource
from stream.monitor.sources.kafka import KafkaReader
from stream.monitor.sources.poller import Pace, Poller
from stream.monitor.sources.processes import Process, ProcessSource
from stream.monitor.sources.replays import ReplaySource
from stream.monitor.sources.shards import ShardReading, ShardSource
from stream.monitor.sources.slot import PostgresReading, SlotSource

_CUSTOMERS_S = 15.0
_ONCE_S = 12.0  # the longest time of one look at everything


class Polled:
    """The pollers. `start` and `close` them.

    Args:
        connector: asks Connect for the connector's status.
        customers: asks whose changes wait; None: nobody asks.
        interval_s: how often Kafka is asked.
        idle_s: no source is asked more often than this while no viewer looks; 0 = at each one's own interval.

    Attributes:
        then: called after each look at Kafka, in its thread.
    """

    def __init__(
        self,
        *,
        kafka: KafkaReader,
        slot: SlotSource,
        connector: Callable[[], ConnectorStatus | None],
        shards: Sequence[ShardSource],
        processes: ProcessSource,
        replays: ReplaySource,
        backfills: BackfillSource,
        customers: CustomerSource | None = None,
        interval_s: float,
        idle_s: float = 0.0,
    ) -> None:
        self.pace = pace = Pace(idle_s)
        self.then: Callable[[], None] = lambda: None
        self._process_source = processes
        self.reader = kafka
        self.kafka: Poller[Kafka] = Poller(
            "kafka", kafka.read, every_s=interval_s, pace=pace, close=kafka.close, then=self._looked
        )
        self.slot: Poller[PostgresReading] = Poller(
            "postgres", slot.read, every_s=max(2.0, interval_s), pace=pace, close=slot.close
        )
        self.connect: Poller[ConnectorStatus | None] = Poller("connect", connector, every_s=4.0, pace=pace)
        self.shards: list[Poller[ShardReading]] = [
            Poller(f"shard {number}", shard.read, every_s=3.0, pace=pace, close=shard.close)
            for number, shard in enumerate(shards)
        ]
        self.processes: Poller[list[Process]] = Poller(
            "processes", lambda: processes.read(time.time()), every_s=3.0, pace=pace, close=processes.close
        )
        self.replays: Poller[list[ReplayReading]] = Poller(
            "replays", replays.read, every_s=4.0, pace=pace, close=replays.close
        )
        self.backfills: Poller[list[BackfillReading]] = Poller(
            "backfills", backfills.read, every_s=4.0, pace=pace, close=backfills.close
        )
        self.customers: Poller[Customers] | None = None
        if customers is not None:
            read, close = customers.read, customers.close
            self.customers = Poller(
                "customers", lambda: read(self._waits()), every_s=_CUSTOMERS_S, pace=pace, close=close
            )
        self.started = False

    def _waits(self) -> list[Waits]:
        kafka = self.kafka.source.value
        found = {} if kafka is None else kafka.partitions
        return [Waits(tp, lag.end, lag.messages, lag.seconds) for tp, lag in found.items()]

    def _looked(self) -> None:
        self.then()

    @property
    def _once(self) -> list[Poller[Any]]:
        return [self.kafka, self.slot, self.connect, *self.shards, self.processes, self.replays, self.backfills]

    @property
    def all(self) -> list[Poller[Any]]:
        return [*self._once, *([self.customers] if self.customers is not None else [])]

    def start(self, *, also: str | None = None) -> None:
        """Begin to ask. `also`: the URL of a process that is asked beside the configured ones."""
        if also is not None:
            self._process_source.add(also)
        for poller in self.all:
            poller.start()
        self.started = True

    def once(self) -> None:
        """Ask every source once, side by side, but for customers, of whom one look at Kafka must know first."""
        threads = [threading.Thread(target=poller.once, daemon=True) for poller in self._once]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=_ONCE_S)

    def wake(self) -> None:
        """Ask every source at once instead of at its next time."""
        for poller in self.all:
            poller.wake()

    def stop(self) -> None:
        """Begin to end: no source is asked any more."""
        for poller in self.all:
            poller.stop()

    def close(self, *, within_s: float) -> None:
        """End, and leave a hanging source to itself after that time."""
        self.stop()
        deadline = time.monotonic() + within_s
        for poller in self.all:
            poller.close(timeout_s=max(0.0, deadline - time.monotonic()))
