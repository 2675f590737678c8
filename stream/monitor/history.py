"""The last hour: a row of numbers every few seconds, and when the headline was other than fresh.

Enters: values with their Unix time, oldest first. Leaves: columns for the dashboard's charts. For several threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

KEPT_S = 3600.0


class History:
    """Keeps one row for each `step_s`."""

    def __init__(self, *, step_s: float = 5.0) -> None:
        self._step_s = step_s
        self._rows: deque[tuple[float, dict[str, float | None]]] = deque()
        self._events: deque[dict[str, Any]] = deque(maxlen=50)
        self._lock = threading.Lock()

    def add(self, now: float, values: Mapping[str, float | None], *, level: str, title: str) -> None:
        """Take a row, when it is due. An event lasts while the headline is the same and not fresh."""
        with self._lock:
            if not self._rows or now - self._rows[-1][0] >= self._step_s - 0.25:
                self._rows.append((now, dict(values)))
            while self._rows and self._rows[0][0] < now - KEPT_S:
                self._rows.popleft()
            last = self._events[-1] if self._events else None
            if last is not None and last["until"] is None:
                if last["level"] == level and last["title"] == title:
                    return
                last["until"] = now
            if level != "fresh":
                self._events.append({"level": level, "title": title, "from": now, "until": None})

    def since(self, start: float) -> dict[str, Any]:
        """Rows after `start` as columns: `t` and one for each name; None where there was no value. And the events."""
        with self._lock:
            rows = [row for row in self._rows if row[0] > start]
            events = [dict(event) for event in self._events]
        names = dict.fromkeys(name for _, values in rows for name in values)
        return {
            "t": [round(at, 1) for at, _ in rows],
            "series": {name: [_rounded(values.get(name)) for _, values in rows] for name in names},
            "events": events,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def course(found: Mapping[str, Any]) -> dict[str, float | None]:
    """The row that the history keeps of the monitor's document."""
    topics = found["topics"]
    hops = found["hops"]["end_to_end"]
    values: dict[str, float | None] = {
        "freshness": found["freshness"]["seconds"],
        "messages": sum(topic["messages"] for topic in topics) if topics else None,
        "produced": sum(topic["produced_per_s"] or 0.0 for topic in topics) if topics else None,
        "consumed": sum(topic["consumed_per_s"] or 0.0 for topic in topics) if topics else None,
        "p99": hops["p99"] if hops else None,
        "slot_bytes": found["slot"].get("lag_bytes"),
    }
    return values | {f"lag:{topic['short']}": topic["seconds"] for topic in topics}
