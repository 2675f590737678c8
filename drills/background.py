"""A thread that works beside a block, and ends with it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Self


@dataclass
class Background(ABC):
    """Runs `_run` in a thread while a block runs.

    Attributes:
        join_s: how long `stop` waits for the thread, seconds.
    """

    join_s: ClassVar[float] = 60.0

    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the work. Returns when what is under way is done."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self.join_s)

    @abstractmethod
    def _run(self) -> None:
        """The work; returns soon after `_stop` is set."""
