"""When the worker had ClickHouse's acknowledgement for a row, from the worker's log.

A row carries the time at which ClickHouse took it in (`_indexed_at`), which is some milliseconds before it is visible.
The line that the worker logs for each batch says when the insert was acknowledged, and then every query shows it.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

CLOCK_S = 0.002  # both are rounded to milliseconds


class Acks:
    """Reads the log as it grows.

    Args:
        log: the worker's, of one process.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._at = log.stat().st_size if log.exists() else 0
        self._ends: list[float] = []  # sorted: the lines of three agents are in order of their ends
        self._batches: list[tuple[float, float]] = []  # (start, end of the writes), beside `_ends`

    def read(self) -> None:
        """Take in what was logged since."""
        with self._log.open("rb") as file:
            file.seek(self._at)
            grown = file.read()
        whole = grown[: grown.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            if " msg=batch " in line:
                self._add(dict(field.split("=", 1) for field in line.split() if "=" in field))

    def after(self, stored_at: float) -> float | None:
        """When the insert that stored a row at `stored_at` was acknowledged, at the latest (seconds since 1970).

        None: no batch that was under way then has been logged yet.
        """
        found = []
        for index in range(bisect.bisect_left(self._ends, stored_at - CLOCK_S), len(self._ends)):
            start, written = self._batches[index]
            if start <= stored_at + CLOCK_S:
                # A reindex may also write while the batch is confirmed.
                found.append(written if stored_at <= written + CLOCK_S else self._ends[index])
        return max(found, default=None)

    def _add(self, fields: Mapping[str, str]) -> None:
        end = datetime.fromisoformat(fields["time"]).timestamp()
        written = end - sum(int(fields.get(stage, 0)) for stage in ("confirm_ms", "close_ms")) / 1000
        index = bisect.bisect(self._ends, end)
        self._ends.insert(index, end)
        self._batches.insert(index, (end - int(fields["took_ms"]) / 1000, written))
