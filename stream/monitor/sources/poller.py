"""Asks a source again and again in a thread of its own. A source that hangs makes only its own answer old.

Enters: a function that reads. Leaves: its newest answer, or the error and since when (`readings.Source`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from stream.errors import PostgresTimeout, ScorestreamError
from stream.monitor.readings import Answer

log = logging.getLogger(__name__)
T = TypeVar("T")

_LOOKED_S = 30.0  # a viewer counts as looking until this long after the last request
HANGS_S = 8.0  # limit of one call to a source; longer than the limits of most clients


class Pace:
    """How often sources are asked: at their own intervals, or at most every `idle_s` while no viewer looks."""

    def __init__(self, idle_s: float = 0.0) -> None:
        self._idle_s = idle_s
        self._looked_at = float("-inf")

    def looked(self) -> bool:
        """Note that a viewer looks. True when none did before, so that the answers may be old."""
        idle, self._looked_at = self._idle, time.monotonic()
        return idle

    def of(self, every_s: float) -> float:
        """The present interval of a source with this interval."""
        return max(every_s, self._idle_s) if self._idle else every_s

    @property
    def _idle(self) -> bool:
        return self._idle_s > 0 and time.monotonic() - self._looked_at > _LOOKED_S


class Poller(Generic[T]):
    """Calls `read` every `every_s`, and remembers the last answer and the error since then.

    Args:
        close: called at the end, unless the source hangs.
        then: called in the same thread after each answer or error.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], T],
        *,
        every_s: float,
        pace: Pace,
        close: Callable[[], None] = lambda: None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self._source: Answer[T] = Answer(name)
        self._asking_since: float | None = None
        self._read = read
        self._every_s = every_s
        self._pace = pace
        self._close = close
        self._then = then
        self._stopping = False
        self._awake = threading.Event()
        self._asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"monitor-{name}", daemon=True)

    @property
    def source(self) -> Answer[T]:
        """The newest answer, and why there is none since."""
        source, since = self._source, self._asking_since
        if source.error is None and since is not None and time.time() - since > HANGS_S:
            return replace(source, error="no answer", error_since=since)
        return source

    def start(self) -> None:
        self._thread.start()

    def once(self) -> Answer[T]:
        """Ask once, in the caller's thread."""
        now, before = time.time(), self._source
        self._asking_since = now
        try:
            value = self._read()
        except ScorestreamError as error:
            if before.error is None:
                log.warning("source does not answer", extra={"source": before.name, "cause": str(error)})
            since = before.error_since or now
            slow = isinstance(error, PostgresTimeout)
            self._source = Answer(before.name, before.value, before.at, str(error), since, slow)
        else:
            self._source = Answer(before.name, value, time.time())
        finally:
            self._asking_since = None
        return self._source

    def wake(self) -> None:
        """Ask at once instead of at the next time."""
        self._asked.clear()
        self._awake.set()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has asked since `wake`, or the time is over."""
        self._asked.wait(timeout_s)

    def stop(self) -> None:
        """Begin to end."""
        self._stopping = True
        self._awake.set()

    def close(self, *, timeout_s: float) -> None:
        """End. A source that hangs for longer is left to itself."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_s)
        if not self._thread.is_alive():
            self._close()

    def _run(self) -> None:
        while not self._stopping:
            self._awake.clear()
            began = time.monotonic()
            try:
                self.once()
            except Exception:
                log.exception("source failed", extra={"source": self._source.name})
                old = self._source
                self._source = Answer(old.name, old.value, old.at, "internal error; see the log", time.time())
            self._asked.set()
            try:
                self._then()
            except Exception:
                log.exception("source failed", extra={"source": self._source.name})
            if not self._stopping:
                self._awake.wait(max(0.2, self._pace.of(self._every_s) - (time.monotonic() - began)))
