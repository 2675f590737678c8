"""Whose changes wait: the oldest messages of late partitions, and in Postgres the owners of their scorecards.

Enters: what waits in the partitions. Leaves: `Customers`. Where nothing is late it asks nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from stream.kafka import waiting
from stream.kafka.broker import Broker
from stream.monitor.customers import Customers, Waits, by_customer, late_ranges, scorecards


class CustomerSource:
    """For one thread; `close` it.

    Args:
        owners: scorecard ids -> the customers of those that are in Postgres; raises PostgresUnavailable.
        most: messages of one look.
    """

    def __init__(
        self,
        broker: Broker,
        owners: Callable[[Sequence[str]], Mapping[str, str]],
        *,
        close: Callable[[], None],
        most: int = waiting.MOST,
    ) -> None:
        self._broker = broker
        self._owners = owners
        self._close = close
        self._most = most

    def read(self, partitions: Iterable[Waits]) -> Customers:
        """The customers of whom something waits.

        Raises:
            KafkaUnavailable, PostgresUnavailable: a system does not answer.
        """
        ranges = late_ranges(partitions)
        now = time.time()
        if not ranges:
            return Customers(now)
        found = waiting.look(self._broker, ranges, most=self._most)
        ids = scorecards(found.messages)
        return by_customer(found, self._owners(ids) if ids else {}, now=now)

    def close(self) -> None:
        self._close()
        self._broker.close()
