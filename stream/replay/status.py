"""How far a replay is: as values for `--json`, as bars on a terminal, as plain lines otherwise.

Enters: a replay as its topic has it, and its group's committed offsets. Leaves: text. Any host can ask.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from stream.kafka.offsets import TP
from stream.replay.plan import Pass
from stream.replay.state import Replay
from stream.times import span, time_text

_LINE_S = 5.0
_WINDOW_S = 20.0


def present_pass(replay: Replay) -> Pass:
    """The pass that is under way, or was the last."""
    return [replay.plan.main, *replay.passes][-1]


def summary(replay: Replay, committed: Mapping[TP, int]) -> dict[str, Any]:
    """All that `replay status --json` tells."""
    now = present_pass(replay)
    members = list(replay.members.values())
    alive = replay.alive()
    outcomes: Counter[str] = Counter()
    for beat in members:
        outcomes.update(beat.outcomes)
    total, done = now.messages, now.done(committed)
    if replay.state == "done":
        done = total
    per_s = sum(beat.per_s for beat in alive)
    failed = sum(beat.failed for beat in members)
    return {
        "name": replay.name,
        "state": replay.state,
        "error": (replay.result.error if replay.result else "") or next((b.error for b in members if b.error), ""),
        "pass": now.kind,
        "passes": [each.kind for each in (replay.plan.main, *replay.passes)],
        "total": total,
        "done": done,
        "reindexed": sum(beat.reindexed for beat in members),
        "failed": failed,
        "matched": sum(beat.matched for beat in members),
        "dropped": outcomes["dropped"],
        "dead_letters": failed,
        "outcomes": dict(outcomes),
        "rows": sum(beat.rows for beat in members),
        "seconds": round((max(b.at_ms for b in members) - min(b.began_ms for b in members)) / 1000, 2)
        if members
        else 0,
        "rss_mb_max": round(max((beat.rss_mb for beat in members), default=0.0), 1),
        "per_s": round(per_s, 1),
        "eta_s": round((total - done) / per_s, 1) if per_s and replay.state == "running" else None,
        "throttled_by": "; ".join(sorted({beat.throttled_by for beat in alive if beat.throttled_by})),
        "into": replay.plan.into,
        "start": replay.plan.start,
        "customers": list(replay.plan.filter.customers),
        "tables": list(replay.plan.tables),
        "group": replay.plan.group,
        "created_at": time_text(replay.plan.created_ms),
        "processes": [
            {
                "member": beat.member,
                "host": beat.host,
                "pid": beat.pid,
                "lanes": beat.lanes,
                "per_s": beat.per_s,
                "rss_mb": round(beat.rss_mb, 1),
                "throttled_by": beat.throttled_by,
            }
            for beat in alive
        ],
        "partitions": [
            {
                "topic": s.topic,
                "partition": s.partition,
                "start": s.start,
                "end": s.end,
                "committed": min(max(committed.get(s.tp, s.start), s.start), s.end),
            }
            for s in now.spans
        ],
    }


def line(facts: Mapping[str, Any], per_s: float | None = None) -> str:
    """`main 1,200,000/2,222,222 54% 101,000/s eta 0:00:10 matched .. dropped .. dead letters ..`."""
    total, done = facts["total"], facts["done"]
    per_s = facts["per_s"] if per_s is None else per_s
    parts = [facts["pass"], f"{done:,}/{total:,}"]
    if total:
        parts.append(f"{100 * done // total}%")
    if per_s:
        parts.append(f"{per_s:,.0f}/s")
        if total > done:
            parts.append(f"eta {span((total - done) / per_s)}")
    parts += [f"matched {facts['matched']:,}", f"dropped {facts['dropped']:,}"]
    if facts["dead_letters"]:
        parts.append(f"dead letters {facts['dead_letters']:,}")
    if facts["throttled_by"]:
        parts.append(f"throttled: {facts['throttled_by']}")
    return " ".join(parts)


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
