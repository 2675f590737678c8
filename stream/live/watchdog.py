"""The stall watchdog: messages wait, and for too long nothing moves. Then it says what it sees and ends the process.

    brokers: ends, commits of the group --\\
    worker: positions, tries ---------------> Stalls --too long--> log: assignment, offsets, stacks --> crash --> _exit

A thread of its own with a Kafka client of its own (librdkafka), so that neither a blocked event loop, nor aiokafka, nor
a step that never returns can silence it. An outage is not a stall: a try that fails and is tried again is progress of a
kind (the retrier gives up by itself), and while no broker answers nothing is known. Time that the whole process
slept (SIGSTOP, a paused machine) does not count either.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NamedTuple, TypeVar

from stream import metrics
from stream.config import Settings
from stream.errors import KafkaUnavailable, Stalled
from stream.kafka.broker import LagSource
from stream.kafka.offsets import TP, Progress
from stream.live.app import LiveApp
from stream.pipeline.pipeline import Retrying
from stream.tables import SOURCES

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S: Final = 5.0  # most time between two looks
EXIT_S: Final = 15.0  # so long the worker may take to end by itself; a little more than LiveApp's own limit
GROUP: Final = TP("", -1)  # stands for the worker as a whole while it has no assignment
_FRAMES = 24


class Tries:
    """Counts the tries of steps in long batches: what tells a batch that retries an outage from one that hangs.

    Args:
        limit_s: the watchdog's limit; a batch is long when it has been under way for a quarter of it.
    """

    def __init__(self, limit_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._long_s = limit_s / 4
        self._clock = clock
        self._began = clock()

    def batch(self) -> None:
        """A batch begins."""
        self._began = self._clock()

    def watch(self, retry: Retrying) -> Retrying:
        """The same retrier; each try of a step is counted. Short batches count by their offsets."""

        def watched(step: Callable[[], T], /) -> T:
            def tried() -> T:
                if self._clock() - self._began > self._long_s:
                    self.count += 1
                return step()

            return retry(tried)

        return watched


class Seen(NamedTuple):
    """A partition at one look. `position`: next to deliver; `committed`: next to process; `tries`: of its table."""

    position: int | None
    committed: int | None
    end: int
    tries: int

    @property
    def waiting(self) -> int:
        return max(0, self.end - (self.committed or 0))


@dataclass(slots=True)
class _Still:
    seen: Seen
    for_s: float = 0.0


class Stalls:
    """How long each partition has not moved although messages wait. Knows no clock."""

    def __init__(self) -> None:
        self._still: dict[TP, _Still] = {}

    def look(self, seen: Mapping[TP, Seen], *, elapsed_s: float) -> dict[TP, float]:
        """Seconds without progress of the partitions where something waits.

        Args:
            seen: all partitions that are ours now.
            elapsed_s: since the last look, as far as it counts.
        """
        still: dict[TP, _Still] = {}
        for tp, now in seen.items():
            if not now.waiting:
                continue
            held = self._still.get(tp)
            # More messages are no progress: all but the end must have stood.
            same = held is not None and held.seen._replace(end=0) == now._replace(end=0)
            still[tp] = _Still(now, held.for_s + elapsed_s if held is not None and same else 0.0)
        self._still = still
        return {tp: held.for_s for tp, held in still.items()}

    def forget(self) -> None:
        """Nothing is known: all begins anew."""
        self._still = {}


def see(
    progress: Mapping[TP, Progress], ends: Mapping[TP, int], committed: Mapping[TP, int], tries: Mapping[str, int]
) -> dict[TP, Seen]:
    """What the worker and the brokers say, put together.

    Args:
        committed: of the group, as the brokers have it: Faust takes a commit for done also when it failed.
        tries: topic -> count.
    """
    return {
        tp: Seen(how.position, committed.get(tp), ends[tp], tries.get(tp.topic, 0))
        for tp, how in progress.items()
        if tp in ends
    }


class Watchdog:
    """The thread. `close` it before the process ends in good order.

    Args:
        tries: the counts of Tries, by topic.
    """

    def __init__(self, settings: Settings, live: LiveApp, *, tries: Callable[[], Mapping[str, int]]) -> None:
        self._limit_s = settings.watchdog.stall_s
        self._every_s = min(LOOK_S, self._limit_s / 4)
        self._settings = settings
        self._live = live
        self._tries = tries
        self._joined = threading.Event()
        self._closed = threading.Event()
        self._stalls = Stalls()
        self._seen: dict[TP, Seen] = {}
        live.on_assigned(lambda _: self._joined.set())
        live.on_revoked(lambda _: self._joined.clear())
        live.on_stopping(self._closed.set)
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        source = LagSource(self._settings.kafka)
        last = time.monotonic()
        while not self._closed.wait(self._every_s):
            now = time.monotonic()
            elapsed_s, last = min(now - last, 2 * self._every_s), now
            try:
                stalled = self._look(source, elapsed_s)
            except KafkaUnavailable:
                metrics.WATCHDOG_LOOKS.labels("unknown").inc()
                self._stalls.forget()
            except Exception:  # it reads what other threads write; one look less does no harm
                log.warning("watchdog: could not look", exc_info=True)
                metrics.WATCHDOG_LOOKS.labels("failed").inc()
            else:
                metrics.WATCHDOG_LOOKS.labels("stalled" if stalled else "ok").inc()
                if stalled and not self._closed.is_set():
                    self._end(stalled)
                    return

    def _look(self, source: LagSource, elapsed_s: float) -> dict[TP, float]:
        """The partitions that have stood for longer than the limit, with messages that exist."""
        tps = source.partitions(map(self._settings.topic, SOURCES))
        ends = source.ends(tps)
        if self._joined.is_set():
            progress = self._progress()
            committed = source.committed(self._settings.kafka.group, list(progress)) if progress else {}
            self._seen = see(progress, ends, committed, self._tries())
        else:
            # Not in the group (yet): somebody else may do the work, but a rebalance does not take so long.
            self._seen = {GROUP: Seen(None, None, sum(ends.values()), 0)}
        still = self._stalls.look(self._seen, elapsed_s=elapsed_s)
        metrics.WATCHDOG_STILL.set(max(still.values(), default=0.0))
        metrics.WATCHDOG_WAITING.set(sum(seen.waiting for tp, seen in self._seen.items() if tp != GROUP))
        late = {tp: for_s for tp, for_s in still.items() if for_s >= self._limit_s}
        if not late or GROUP in late:
            return late
        # Transaction markers and holes at the end are no messages.
        behind = {tp: (self._seen[tp].committed or 0, self._seen[tp].end) for tp in late}
        return {tp: late[tp] for tp, following in source.next_messages(behind).items() if following.waiting}

    def _progress(self) -> Mapping[TP, Progress]:
        if self._live.app._consumer is None:  # `progress` would make it, in the wrong thread
            return {}
        return self._live.progress()

    def _end(self, stalled: Mapping[TP, float]) -> None:
        error = Stalled(_sentence(stalled, self._limit_s))
        log.critical("watchdog: %s", error)
        self._say()
        loop = self._live.app.loop
        loop.call_soon_threadsafe(self._live.crash, error)
        # It may well be the loop that hangs, or the threads that it waits for.
        time.sleep(EXIT_S)
        log.critical("watchdog: the worker does not end by itself: ending at once, without a commit")
        for stream in (*(handler for handler in logging.getLogger().handlers), sys.stdout, sys.stderr):
            stream.flush()
        os._exit(error.exit_code)

    def _say(self) -> None:
        for tp, seen in sorted(self._seen.items()):
            if tp != GROUP:
                state = seen._asdict() | {"waiting": seen.waiting}
                log.critical("watchdog: partition", extra={"topic": tp.topic, "partition": tp.partition} | state)
        for name, where in stacks(self._loops()):
            log.critical("watchdog: stack", extra={"of": name, "at": where})

    def _loops(self) -> list[tuple[str, Any]]:
        thread = getattr(self._live.app._consumer, "_thread", None)
        return [("faust", self._live.app.loop), ("aiokafka", getattr(thread, "thread_loop", None))]


def _sentence(stalled: Mapping[TP, float], limit_s: float) -> str:
    if GROUP in stalled:
        return f"not in the consumer group for {stalled[GROUP]:.0f} s, though the brokers answer (limit {limit_s:g} s)"
    some = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in sorted(stalled)[:5])
    return (
        f"no progress for {max(stalled.values()):.0f} s with messages waiting in {len(stalled)} partitions "
        f"({some}{', ...' if len(stalled) > 5 else ''}; limit {limit_s:g} s)"
    )


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
    """The frames of a coroutine and of all that it waits for in turn; Task.get_stack tells the outermost only."""
    frames: list[tuple[FrameType, int]] = []
    while awaited is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(awaited, f"{kind}_frame")), None)
        if kind is not None:
            if (frame := getattr(awaited, f"{kind}_frame")) is not None:
                frames.insert(0, (frame, frame.f_lineno))
            awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
        else:  # a step of an async generator does not say whose it is
            awaited = next((held for held in gc.get_referents(awaited) if hasattr(held, "ag_frame")), None)
    return frames


def _frames(frames: Sequence[tuple[FrameType, int]]) -> str:
    return " < ".join(
        f"{os.path.basename(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
        for frame, line in frames[:_FRAMES]
    )
