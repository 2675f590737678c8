"""The screen while a demo or a benchmark runs: a live line on a terminal, a plain line every few seconds elsewhere.

Results go to stdout. With `--json` stdout has the JSON only, and the screen goes to stderr.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

PLAIN_S = 2.0  # between two plain lines


class Screen:
    """Lines, and one moving line at a time."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        self.console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(line, markup=False)

    @contextmanager
    def bar(self, title: str, total: int, unit: str = "rows") -> Iterator[Bar]:
        """A progress bar: done, rate, time left."""
        bar = Bar(self, title, total, unit)
        try:
            yield bar
        finally:
            bar.close()

    @contextmanager
    def line(self) -> Iterator[Line]:
        """A line that is rewritten in place."""
        line = Line(self)
        try:
            yield line
        finally:
            line.close()


class Bar:
    """Progress of a number of units."""

    def __init__(self, screen: Screen, title: str, total: int, unit: str) -> None:
        self._screen = screen
        self._title = title
        self._unit = unit
        self._total = total
        self._started = self._said = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._progress: Progress | None = None
        if screen.console.is_terminal:
            self._progress = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TaskProgressColumn(),
                TextColumn(f"{{task.fields[rate]:,.0f}} {unit}/s"),
                TimeRemainingColumn(),
                console=screen.console,
                transient=True,
            )
            self._task = self._progress.add_task(title, total=total, rate=0.0)
            self._progress.start()

    def update(self, done: int) -> None:
        """Show the number of finished units."""
        now = time.monotonic()
        if done and self._first is None:
            self._first = (now, done)
        rate = 0.0
        if self._first is not None and now > self._first[0]:
            rate = (done - self._first[1]) / (now - self._first[0])
        if self._progress is not None:
            self._progress.update(self._task, completed=done, rate=rate)
        elif now - self._said >= PLAIN_S or done >= self._total:
            self._said = now
            left = f", {max(0, self._total - done) / rate:,.0f} s left" if rate > 0 and done < self._total else ""
            self._screen.say(
                f"  {self._title}: {done:,} of {self._total:,} {self._unit}, {rate:,.0f} {self._unit}/s{left}"
            )

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


class Line:
    """One status line."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said = 0.0
        self._status: Status | None = None
        if screen.console.is_terminal:
            self._status = screen.console.status("")
            self._status.start()

    def update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(Text(text))
        elif time.monotonic() - self._said >= PLAIN_S:
            self._said = time.monotonic()
            self._screen.say(f"  {text}")

    def close(self) -> None:
        if self._status is not None:
            self._status.stop()
