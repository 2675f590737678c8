"""A running replay on a terminal: a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from stream.replay.status import line

_LINE_S = 5.0
_WINDOW_S = 20.0


class Display:
    """Shows a replay again and again, on stderr; `with`-able."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tty = sys.stderr.isatty()
        self._samples: deque[tuple[float, str, int]] = deque()
        self._said_at = float("-inf")
        self._said = ""
        self._live: Live | None = None
        self._whole = Progress(TextColumn("{task.description}"), BarColumn(40), TextColumn("{task.fields[text]}"))
        self._parts = Progress(
            TextColumn("  {task.description}"), BarColumn(24), TextColumn("{task.completed:,.0f}/{task.total:,.0f}")
        )
        self._tasks: dict[int, TaskID] = {}
        self._pass = ""
        self._task: TaskID | None = None

    def __enter__(self) -> Display:
        if self._tty:
            self._live = Live(Group(self._whole, self._parts), console=Console(file=sys.stderr), refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, facts: Mapping[str, Any]) -> None:
        """Show it as it is now."""
        per_s = self._rate(facts)
        text = line(facts, per_s)
        if self._live is not None:
            self._bars(facts, text)
            return
        now = time.monotonic()
        new_pass = facts["pass"] != self._said
        if new_pass or now - self._said_at >= _LINE_S:
            self._said_at, self._said = now, facts["pass"]
            print(f"replay {self._name}: {text}", file=sys.stderr, flush=True)

    def _rate(self, facts: Mapping[str, Any]) -> float:
        """Messages/s by the committed offsets, over the last seconds of this pass."""
        now = time.monotonic()
        self._samples.append((now, facts["pass"], facts["done"]))
        while self._samples[0][1] != facts["pass"] or now - self._samples[0][0] > _WINDOW_S:
            self._samples.popleft()
        since, _, before = self._samples[0]
        return (facts["done"] - before) / (now - since) if now > since else 0.0

    def _bars(self, facts: Mapping[str, Any], text: str) -> None:
        if self._task is None:
            self._task = self._whole.add_task(f"replay {self._name}", text="")
        self._whole.update(self._task, total=facts["total"] or 1, completed=facts["done"], text=text)
        lanes: dict[int, list[int]] = {}
        for each in facts["partitions"]:
            held = lanes.setdefault(each["partition"], [0, 0])
            held[0] += each["committed"] - each["start"]
            held[1] += each["end"] - each["start"]
        if facts["pass"] != self._pass:
            for task in self._tasks.values():
                self._parts.remove_task(task)
            self._tasks.clear()
            self._pass = facts["pass"]
        for lane, (done, total) in sorted(lanes.items()):
            if lane not in self._tasks:
                self._tasks[lane] = self._parts.add_task(f"partition {lane:>3}", total=max(1, total))
            self._parts.update(self._tasks[lane], completed=done if total else 1, total=max(1, total))
