"""Python and glibc set up for processes that make batches of 100,000 objects in several threads."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2  # glibc's own choice, eight for each core, leaves memory that was freed in the arena of every thread
_SWITCH_S = 0.0005  # Python's own is 0.005


def prepare() -> None:
    """Let the collector look seldom, threads share what they free, and those that had to wait go on soon.

    Call it once, after the imports and before there are threads. The batches' objects live for a second and are no
    cycles: looking through them costs more than it frees. A thread that has its answer from Postgres or ClickHouse asks
    for the interpreter several times until it has read it, and each time waits for one that decodes.
    """
    gc.freeze()
    gc.set_threshold(400_000, 20, 20)
    sys.setswitchinterval(_SWITCH_S)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
