"""How many messages are delivered and not committed: what a worker that dies leaves to be done again. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from stream.kafka.topic_partition import TP


class Uncommitted:
    """How many delivered messages are not committed yet, acknowledged or not.

    Those of a partition where a batch is left aside are counted for themselves. Its offset stays until a large reindex
    is done. The topic's other partitions do not wait for that.
    """

    def __init__(self) -> None:
        self._stretches: dict[TP, deque[tuple[int, int]]] = {}  # (end, messages), in the order of delivery
        self._counts: Counter[TP] = Counter()
        self._aside: Counter[TP] = Counter()  # batches

    def delivered(self, tp: TP, *, end: int, messages: int) -> None:
        self._stretches.setdefault(tp, deque()).append((end, messages))
        self._counts[tp] += messages

    def committed(self, tp: TP, offset: int) -> None:
        """Record that the brokers have this offset."""
        stretches = self._stretches.get(tp, deque())
        while stretches and stretches[0][0] <= offset:
            self._counts[tp] -= stretches.popleft()[1]

    def forget(self, tps: Iterable[TP]) -> None:
        """Forget partitions that are not ours any more, or will be read again from their committed offsets."""
        for tp in tps:
            for known in (self._stretches, self._counts, self._aside):
                known.pop(TP(*tp), None)

    def leave_aside(self, tp: TP) -> None:
        self._aside[TP(*tp)] += 1

    def take_back(self, tp: TP) -> None:
        """Record that a batch which was left aside is acknowledged."""
        self._aside[TP(*tp)] -= 1

    def of(self, topic: str) -> int:
        """Of the partitions where nothing is left aside."""
        return sum(count for tp, count in self._counts.items() if tp.topic == topic and not self._aside[tp])

    def behind_aside(self, tp: TP) -> int:
        """Of a partition where something is left aside; 0 for others."""
        return self._counts[tp] if self._aside[tp] else 0
