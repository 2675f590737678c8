"""Rewinds: the live group is moved back, and the workers process again what they have processed before."""

from __future__ import annotations

from stream.kafka.marks import Mark, after_rewind
from stream.kafka.reached import highest
from tests.fakes import FakeFetched

At = tuple[str, int]  # table, partition


class Rewinds:
    """The rewinds of a World."""

    def _rewind(self) -> None:
        """Every worker is killed; some partitions begin again at any earlier offset.

        Perhaps all was processed before, and nothing changes for a while. Then readers must notice nothing.
        """
        calm = not self.broken and self._chance(0.5)
        if calm:
            self._drain()
            self.draining = False
        self._say("rewind")
        for worker in self.workers:
            self._crash_of(worker)
        for at, log in self.log.partitions.items():
            committed = self.committed[at]
            if self._chance(0.7):
                to = self._below(committed + 1)
                mark = after_rewind(committed, Mark(rewound=self.rewound[at], newest=self.reached[at]), to=to)
                before = [message.value for message in log[:to]]
                self.committed[at], self.rewound[at] = to, mark.rewound
                self.reached[at] = mark.newest or highest(before, self.epochs)
        self.owner.clear()  # each takes its partitions over again
        for worker in self.workers:
            worker.units.clear()
        self._assign(list(self.workers))
        for _ in range(self._below(100) if calm else 0):
            self._weighted([(1, self._fetch), (3, self._advance)])()
            self._check_quiet()

    def _is_old(self, table: str, parts: list[FakeFetched]) -> bool:
        return any(part.start < self.rewound[table, part.partition] for part in parts)

    def _processed(self, at: At) -> int:
        """Up to where the live workers have processed a partition, once or again."""
        return max(self.committed[at], self.rewound[at])
