"""The course of the last hour and of the last day, and when the headline was other than fresh. Kept in memory.

Enters: values with their Unix time, oldest first. Leaves: columns for the dashboard's charts. For several threads.
An hour is 720 rows, one each 5 s; a day is 1,440 rows, one each minute.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0
_MINUTE_S: Final = 60.0
_RATES: Final = frozenset(
    {"produced", "consumed"}
)  # of a minute the mean; of all else the greatest, so that none is lost

Values = Mapping[str, float | None]


class History:
    """Keeps one row for each `step_s` of the last hour, and one for each minute of the last day."""

    def __init__(self, *, step_s: float = 5.0) -> None:
        self._step_s = step_s
        self._rows: deque[tuple[float, dict[str, float | None]]] = deque()
        self._minutes: deque[tuple[float, dict[str, float | None]]] = deque()
        self._minute: list[Values] = []
        self._minute_began = self._minute_ends = 0.0
        self._events: deque[dict[str, Any]] = deque(maxlen=200)
        self._lock = threading.Lock()

    def add(self, now: float, values: Values, *, level: str, title: str) -> None:
        """Take a row, when it is due. An event lasts while the headline is the same and not fresh."""
        with self._lock:
            if not self._rows or now - self._rows[-1][0] >= self._step_s - 0.25:
                self._rows.append((now, dict(values)))
                self._add_to_minute(now, values)
            _forget(self._rows, now - HOUR_S)
            _forget(self._minutes, now - DAY_S)
            last = self._events[-1] if self._events else None
            if last is not None and last["until"] is None:
                if last["level"] == level and last["title"] == title:
                    return
                last["until"] = now
            if level != "fresh":
                self._events.append({"level": level, "title": title, "from": now, "until": None})

    def since(self, start: float, *, day: bool = False) -> dict[str, Any]:
        """Rows after `start` as columns: `t` and one for each name; None where there was no value. And the events.

        Args:
            day: the minutes of the last day instead of the last hour.
        """
        with self._lock:
            kept = self._minutes if day else self._rows
            rows = [row for row in kept if row[0] > start]
            oldest = self._rows[-1][0] - (DAY_S if day else HOUR_S) if self._rows else 0.0
            events = [dict(each) for each in self._events if each["until"] is None or each["until"] > oldest]
        names = dict.fromkeys(name for _, values in rows for name in values)
        return {
            "t": [round(at, 1) for at, _ in rows],
            "series": {name: [_rounded(values.get(name)) for _, values in rows] for name in names},
            "events": events,
        }

    def _add_to_minute(self, now: float, values: Values) -> None:
        """The row of a minute has the time of its last values."""
        if self._minute and now - self._minute_began >= _MINUTE_S:
            self._minutes.append((self._minute_ends, _merged(self._minute)))
            self._minute = []
        if not self._minute:
            self._minute_began = now
        self._minute.append(dict(values))
        self._minute_ends = now


def _merged(rows: list[Values]) -> dict[str, float | None]:
    """One row for a minute; None where no row has a value."""
    found: dict[str, float | None] = {}
    for name in dict.fromkeys(name for values in rows for name in values):
        known = [value for values in rows if (value := values.get(name)) is not None]
        found[name] = None if not known else sum(known) / len(known) if name in _RATES else max(known)
    return found


def _forget(rows: deque[tuple[float, dict[str, float | None]]], before: float) -> None:
    while rows and rows[0][0] < before:
        rows.popleft()


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
