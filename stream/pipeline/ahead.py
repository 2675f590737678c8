"""Which messages are newer than anything that Postgres has written yet: their versions say nothing of the order.

Such a message was made by a tool, or damaged, or a fail over lost its transaction. Written at its own version, its row
would win over every later change. And it would make all messages behind it late (stream/pipeline/late.py).

Enters: versions, and where Postgres' WAL ends. Leaves: the highest version that a change may have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream.epochs import Epochs
from stream.pipeline.ordering import EPOCH_SHIFT, LSN_BITS, LSN_MAX

# Of WAL: as much as `scorestream recover` passes after a fail over. A floor further ahead is of no history.
FAR_BYTES: Final = 1 << 30


class Ceiling:
    """The highest version that Postgres can have given to a change. For one thread.

    Args:
        position: asks where Postgres' WAL ends, in bytes.
        epochs: of the settings.
    """

    def __init__(self, position: Callable[[], int], *, epochs: Epochs) -> None:
        self._position = position
        self._epochs = epochs
        self._highest = -1

    def above(self, reached: int) -> int:
        """The ceiling, for versions up to `reached`. Postgres is asked only where what it said last is lower."""
        if reached > self._highest:
            self._highest = highest(self._epochs.present(), self._position())
        return self._highest


def highest(epoch: int, position: int) -> int:
    """The highest version of a change that is in the WAL up to a position."""
    return epoch << EPOCH_SHIFT | min(position, LSN_MAX) << LSN_BITS | LSN_MAX
