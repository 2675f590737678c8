"""Batches that are processed, and may not be acknowledged yet."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from stream.live.record_batch import RecordBatch


@dataclass(frozen=True, slots=True)
class HeldBatches:
    """Batches that may be acknowledged only after some more work.

    Attributes:
        work: true when it is done; false when it was given up, and the batches must not be acknowledged.
    """

    batches: Sequence[RecordBatch]
    work: Awaitable[bool]

    def holds(self, batch: RecordBatch) -> bool:
        return any(batch is each for each in self.batches)
