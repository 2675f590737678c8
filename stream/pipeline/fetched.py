"""Messages as the pipeline takes them from any driver. A Protocol only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stream.pipeline.dead_letter import Message


class Fetched(Protocol):
    """Messages of one partition, as a driver has them."""

    topic: str
    partition: int
    start: int  # the positions in the log before and after them
    end: int

    @property
    def values(self) -> Sequence[bytes | None]: ...
    @property
    def keys(self) -> Sequence[bytes | None]: ...
    def message(self, index: int) -> Message:
        """The message whole, for a dead letter."""
        ...
