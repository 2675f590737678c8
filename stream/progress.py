"""Progress of a long job, on stderr: a bar on a terminal, otherwise a line every few seconds. stdout is for results.

    with Progress("reindex", total=12_000, unit="scorecards") as progress:
        progress.add(1_000, failed=2)

Enters: counts. Leaves: done of total, rate, time left. It does not know what it counts.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from stream.times import span

_RATE_WINDOW_S = 30


class Progress:
    """Counts the finished units of `total`, and shows the count.

    Args:
        total: number of units; None while it is unknown.
        unit: name of the things counted.
        every_s: seconds between two lines where stderr is no terminal.
        show: False = count only.
        last_line: print the counts of the whole job at its end.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        name: str,
        *,
        total: int | None = None,
        unit: str = "",
        every_s: float = 5,
        show: bool = True,
        last_line: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self.failed = 0
        self._before = 0
        self.note = ""
        self._every_s = every_s
        self._show = show
        self._last_line = last_line
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._began = self._said = clock()
        self._samples: deque[tuple[float, int]] = deque([(self._began, 0)])
        self._bars: _Bars | None = None

    def __enter__(self) -> Self:
        if self._show and self._stream.isatty():
            self._bars = _Bars(self.name, self._stream)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.close()
        if self._show and self._last_line and kind is None:
            self._write(self.text(final=True))

    def start_at(self, done: int, *, failed: int = 0) -> None:
        """Begin a resumed job at `done`. Units of earlier runs do not count for the rate."""
        self.done, self.failed = done, failed
        self._before = done
        self._samples = deque([(self._clock(), done)])

    def begin_stage(self, done: int, *, total: int) -> None:
        """Count another stage of the job from `done` on; its first count is shown at once."""
        self.done, self.total = done, total
        self._samples = deque([(self._clock(), done)])
        self._said = float("-inf")

    def add(self, done: int, *, failed: int = 0, note: str | None = None) -> None:
        """Count more; `done` includes what failed."""
        self.set(self.done + done, failed=self.failed + failed, note=note)

    def set(
        self,
        done: int,
        *,
        failed: int | None = None,
        total: int | None = None,
        note: str | None = None,
        parts: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        """Set the number of units done.

        Args:
            parts: name of a part -> units done and in all; a terminal shows a bar for each.
        """
        self.done = done
        self.failed = self.failed if failed is None else failed
        self.total = self.total if total is None else total
        self.note = self.note if note is None else note
        now = self._clock()
        self._samples.append((now, done))
        while now - self._samples[0][0] > _RATE_WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()
        if not self._show:
            return
        if self._bars is not None:
            self._bars.show(done, self.total, self.text(), parts or {})
        elif now - self._said >= self._every_s:
            self._said = now
            self._write(self.text())

    @property
    def rate(self) -> float:
        """Units a second, over the last half minute."""
        (since, before), (now, done) = self._samples[0], self._samples[-1]
        return (done - before) / (now - since) if now > since else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left; None while total or rate is unknown."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0, self.total - self.done) / self.rate

    def text(self, *, final: bool = False) -> str:
        """`1,000/12,000 scorecards 8% failed 2 500/s eta 0:00:22`."""
        parts = [f"{self.done:,}" + (f"/{self.total:,}" if self.total is not None else "")]
        if self.unit:
            parts.append(self.unit)
        if self.total:
            parts.append(f"{100 * self.done // self.total}%")
        if self.failed:
            parts.append(f"failed {self.failed:,}")
        took = self._clock() - self._began
        if final:
            parts.append(f"in {took:.1f} s")
            parts.append(f"{(self.done - self._before) / took:,.0f}/s" if took > 0 else "")
        else:
            parts.append(f"{self.rate:,.0f}/s")
            if (eta_s := self.eta_s) is not None:
                parts.append(f"eta {span(eta_s)}")
        if self.note:
            parts.append(self.note)
        return " ".join(part for part in parts if part)

    def _write(self, text: str) -> None:
        print(f"{self.name}: {text}", file=self._stream, flush=True)


class _Bars:
    """The bar of a job on a terminal, and below it one for each of its parts."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._whole = Bar(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn()
        )
        self._parts = Bar(
            TextColumn("  {task.description}"), BarColumn(24), TextColumn("{task.completed:,.0f}/{task.total:,.0f}")
        )
        self._task = self._whole.add_task(name, total=None, text="")
        self._tasks: dict[str, TaskID] = {}
        group = Group(self._whole, self._parts)
        self._live = Live(group, console=Console(file=stream), transient=True, refresh_per_second=4)
        self._live.start()

    def show(self, done: int, total: int | None, text: str, parts: Mapping[str, tuple[int, int]]) -> None:
        self._whole.update(self._task, completed=done, total=total, text=text)
        for name in self._tasks.keys() - parts.keys():
            self._parts.remove_task(self._tasks.pop(name))
        for name, (part_done, part_total) in parts.items():
            if name not in self._tasks:
                self._tasks[name] = self._parts.add_task(name)
            # An empty part is shown as done.
            self._parts.update(self._tasks[name], completed=part_done if part_total else 1, total=max(1, part_total))

    def close(self) -> None:
        self._live.stop()
