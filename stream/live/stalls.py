"""Which partitions stand still: remembers looks at the group, one after another. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from stream.kafka.committable import PartitionProgress
from stream.kafka.topic_partition import TP
from stream.pipeline.ports import Retrying

T = TypeVar("T")
GROUP: Final = TP("", -1)  # stands for the worker as a whole while it has no assignment


class Tries:
    """Counts the tries of steps in long batches. They tell a batch that retries an outage from one that hangs.

    Args:
        limit_s: the watchdog's limit; a batch is long when it has been under way for a quarter of it.
    """

    def __init__(self, limit_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._long_s = limit_s / 4
        self._clock = clock
        self._began = clock()

    def batch(self) -> None:
        """Note that a batch begins."""
        self._began = self._clock()

    def watch(self, retry: Retrying) -> Retrying:
        """The same retrier, which counts each try of a step. Short batches show progress by their offsets."""

        def watched(step: Callable[[], T], /) -> T:
            def tried() -> T:
                if self._clock() - self._began > self._long_s:
                    self.count += 1
                return step()

            return retry(tried)

        return watched


class Seen(NamedTuple):
    """A partition at one look. `position`: next to deliver; `committed`: next to process; `tries`: of its table."""

    position: int | None
    committed: int | None
    end: int
    tries: int

    @property
    def waiting(self) -> int:
        return max(0, self.end - (self.committed or 0))


@dataclass(slots=True)
class _Still:
    seen: Seen
    for_s: float = 0.0


class Stalls:
    """How long each partition has not moved although messages wait. Knows no clock."""

    def __init__(self) -> None:
        self._still: dict[TP, _Still] = {}

    def look(self, seen: Mapping[TP, Seen], *, elapsed_s: float) -> dict[TP, float]:
        """Seconds without progress, of the partitions where messages wait.

        Args:
            seen: all partitions that are ours now.
            elapsed_s: since the last look, as far as it counts.
        """
        still: dict[TP, _Still] = {}
        for tp, now in seen.items():
            if not now.waiting:
                continue
            held = self._still.get(tp)
            # New messages are no progress: all values but the end must be unchanged.
            same = held is not None and held.seen._replace(end=0) == now._replace(end=0)
            still[tp] = _Still(now, held.for_s + elapsed_s if held is not None and same else 0.0)
        self._still = still
        return {tp: held.for_s for tp, held in still.items()}

    def forget(self) -> None:
        """Start every count again, because nothing is known any more."""
        self._still = {}


def see(
    progress: Mapping[TP, PartitionProgress],
    ends: Mapping[TP, int],
    committed: Mapping[TP, int],
    tries: Mapping[str, int],
) -> dict[TP, Seen]:
    """Combine the states of the worker and of the brokers.

    Args:
        committed: of the group, as the brokers have it: Faust takes a commit for done also when it failed.
        tries: topic -> count.
    """
    return {
        tp: Seen(how.position, committed.get(tp), ends[tp], tries.get(tp.topic, 0))
        for tp, how in progress.items()
        if tp in ends
    }
