"""Python's garbage collector, set up for processes that make batches of a hundred thousand objects."""

from __future__ import annotations

import gc


def rest() -> None:
    """Let it look seldom: the batches' objects live for a second and are no cycles.

    Looking through them costs more than it frees. Call it when the imports are done, once in a process.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
