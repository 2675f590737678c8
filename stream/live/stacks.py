"""The stack of every thread and task, as text for the log."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

_FRAMES = 24


def stacks(loops: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    """(name, frames) of all threads, and of all tasks of these loops; the innermost frame first, one line each."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = [
        (f"thread {names.get(ident, ident)}", _frames([(f, n) for f, n in traceback.walk_stack(frame)]))
        for ident, frame in sys._current_frames().items()
    ]
    for name, loop in loops:
        if loop is not None:
            tasks = sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name)
            found += [(f"task {name}/{_title(task)}", _frames(_awaited(task.get_coro()))) for task in tasks]
    return found


def _title(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "") or task.get_name()


def _awaited(awaited: Any) -> list[tuple[FrameType, int]]:
    """The frames of a coroutine and of all that it waits for in turn; Task.get_stack has only the outermost."""
    frames: list[tuple[FrameType, int]] = []
    while awaited is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(awaited, f"{kind}_frame")), None)
        if kind is not None:
            if (frame := getattr(awaited, f"{kind}_frame")) is not None:
                frames.insert(0, (frame, frame.f_lineno))
            awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
        else:  # a step of an async generator does not name the generator
            awaited = next((held for held in gc.get_referents(awaited) if hasattr(held, "ag_frame")), None)
    return frames


def _frames(frames: Sequence[tuple[FrameType, int]]) -> str:
    return " < ".join(
        f"{os.path.basename(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
        for frame, line in frames[:_FRAMES]
    )
