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
    """Run the collector rarely, let threads share freed memory, and shorten their wait for the interpreter.

    Call it once, after the imports and before the process starts threads. The batches' objects live for a second and
    form no cycles: collecting them costs more than it frees. A thread that reads an answer of Postgres or ClickHouse
    asks for the interpreter several times, and each time waits for a thread that decodes.
    """
    gc.freeze()
    gc.set_threshold(400_000, 20, 20)
    sys.setswitchinterval(_SWITCH_S)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
