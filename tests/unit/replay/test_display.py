"""A running replay as lines: each pass begins with one, and counts from its own start."""

from __future__ import annotations

import io
from typing import Any

from stream.progress import Progress
from stream.replay.display import Display


def facts(kind: str, done: int, total: int, **more: Any) -> dict[str, Any]:
    partitions = [
        {"partition": 0, "start": 0, "end": total, "committed": done},
        {"partition": 1, "start": 5, "end": 5, "committed": 5},
    ]
    return {
        "pass": kind, "done": done, "total": total, "matched": done, "dropped": 0, "dead_letters": 0,
        "throttled_by": "", "partitions": partitions,
    } | more  # fmt: skip


def shown(*looks: tuple[float, dict[str, Any]], terminal: bool = False) -> str:
    """The text of these looks, at these seconds."""
    out, now = io.StringIO(), [0.0]
    out.isatty = lambda: terminal  # type: ignore[method-assign]
    with Progress("replay r", unit="messages", last_line=False, stream=out, clock=lambda: now[0]) as progress:
        display = Display(progress)
        for at, look in looks:
            now[0] = at
            display.show(look)
    return out.getvalue()


def test_each_pass_begins_with_a_line_and_its_own_rate() -> None:
    lines = shown(
        (0, facts("main", 500, 1_000)),
        (1, facts("main", 600, 1_000)),
        (6, facts("main", 1_000, 1_000, dropped=3, dead_letters=2)),
        (7, facts("tail", 0, 40, throttled_by="live is late")),
    ).splitlines()
    assert lines == [
        "replay r: 500/1,000 messages 50% 0/s main matched 500 dropped 0",
        "replay r: 1,000/1,000 messages 100% 83/s eta 0:00:00 main matched 1,000 dropped 3 dead letters 2",
        "replay r: 0/40 messages 0% 0/s tail matched 0 dropped 0 throttled: live is late",
    ]


def test_a_terminal_shows_a_bar_for_each_partition() -> None:
    text = shown((0, facts("main", 500, 1_000)), terminal=True)
    assert "partition   0" in text
    assert "500/1,000" in text
    assert "1/1" in text  # an empty partition is done
