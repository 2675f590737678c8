"""Python's garbage collector and glibc's allocator, for processes that make batches of a hundred thousand objects."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2  # glibc's own choice, eight for each core, leaves memory that was freed in the arena of every thread


def prepare() -> None:
    """Let the collector look seldom, and threads share what they free. Call it once, after the imports.

    The batches' objects live for a second and are no cycles: looking through them costs more than it frees.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
