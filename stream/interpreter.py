"""Sets up Python and glibc for processes that make batches of 100,000 objects in several threads."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

_M_ARENA_MAX = -8  # number of the option in malloc.h
_ARENAS = 2  # glibc makes eight arenas for each core, and each keeps the memory that its threads freed
_SWITCH_S = 0.0005  # Python's own interval is 0.005


def prepare() -> None:
    """Run the garbage collector rarely, let threads share freed memory, and shorten the wait for the interpreter lock.

    Call it once, after the imports and before the process starts threads. A batch's objects live for a second and form
    no cycles, so collecting them costs more than it frees. A thread that reads an answer of Postgres or ClickHouse
    takes the interpreter lock several times. Each time it waits for a thread that decodes.
    """
    gc.freeze()
    gc.set_threshold(400_000, 20, 20)
    sys.setswitchinterval(_SWITCH_S)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # a C library other than glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
