"""Messages gathered for the pipeline: stretches of each table until they make a batch.

Enters: stretches, in the order of reading. Leaves: the stretches of a batch, by table. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.replay.plan import table_of

BATCH_BYTES: Final = 24 << 20  # bytes at which a batch is full, even with few messages


@dataclass(slots=True)
class _Batch:
    stretches: list[Stretch] = field(default_factory=list)
    messages: int = 0
    size: int = 0

    def add(self, stretch: Stretch) -> None:
        self.stretches.append(stretch)
        self.messages += len(stretch)
        self.size += stretch.size

    def is_full(self, at_most: int) -> bool:
        return self.messages >= at_most or self.size >= BATCH_BYTES


class Batches:
    """The batches that are being gathered, one for each table."""

    def __init__(self) -> None:
        self._by_table: dict[str, _Batch] = {}

    def add(self, stretch: Stretch) -> None:
        """Gather a stretch that has messages."""
        self._by_table.setdefault(table_of(stretch.topic), _Batch()).add(stretch)

    def any_full(self, at_most: int) -> bool:
        """Whether a batch has `at_most` messages, or has reached the limit of bytes."""
        return any(batch.is_full(at_most) for batch in self._by_table.values())

    def take(self, at_most: int, *, everything: bool) -> Iterator[tuple[str, list[Stretch]]]:
        """Take the full batches, or all of them."""
        for table, batch in list(self._by_table.items()):
            if everything or batch.is_full(at_most):
                del self._by_table[table]
                yield table, batch.stretches

    def drop(self, tps: Collection[TP]) -> None:
        """Leave these partitions' messages out."""
        gathered, self._by_table = self._by_table, {}
        for batch in gathered.values():
            for stretch in batch.stretches:
                if stretch.tp not in tps:
                    self.add(stretch)
