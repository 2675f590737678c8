"""When the worker had ClickHouse's acknowledgement for a row, from the worker's log.

A row carries the time at which ClickHouse took it in (`_indexed_at`), some milliseconds before it is visible. The
worker logs a line for each insert (SCORESTREAM_CLICKHOUSE_LOG_INSERTS), with the time of its acknowledgement. From then
on every query shows the row. A worker has one insert at a time under way for a table of a shard.
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
        self._inserts: dict[tuple[int, str], list[tuple[float, float]]] = {}  # (shard, table) -> (end, start), in order

    def read(self) -> None:
        """Read the lines that were logged since."""
        with self._log.open("rb") as file:
            file.seek(self._at)
            grown = file.read()
        whole = grown[: grown.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            if " msg=insert " in line:
                self._add(dict(field.split("=", 1) for field in line.split() if "=" in field))

    def after(self, stored_at: float, shard: int, table: str) -> float | None:
        """When the insert that stored a row at `stored_at` was acknowledged (seconds since 1970).

        None: no insert that was under way then has been logged yet.
        """
        inserts = self._inserts.get((shard, table), [])
        at = bisect.bisect_left(inserts, (stored_at - CLOCK_S, 0.0))
        if at == len(inserts):
            return None
        end, start = inserts[at]
        return end if start <= stored_at + CLOCK_S else None

    def _add(self, fields: Mapping[str, str]) -> None:
        end = datetime.fromisoformat(fields["time"]).timestamp()
        insert = (end, end - float(fields["took_ms"]) / 1000)
        self._inserts.setdefault((int(fields["shard"]), fields["table"]), []).append(insert)
