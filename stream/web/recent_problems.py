"""The last warnings and errors that this process logged: what the dashboard shows as "last error".

Enters: log records. Leaves: short texts with their time. Log lines never hold row values or secrets: nor do these.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from stream import logs

KEPT = 20
_LENGTH = 300


class RecentProblems(logging.Handler):
    """A log handler that remembers the newest `KEPT` warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._found: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        # What this process's own monitor sees elsewhere: the page tells it itself.
        if record.name == "stream.monitor.sources.poller":
            return
        self._found.append(
            {"at": record.created, "level": record.levelname.lower(), "text": logs.said(record)[:_LENGTH]}
        )

    def newest(self) -> list[dict[str, Any]]:
        """Newest first: Unix time, level, text."""
        return list(reversed(self._found))


PROBLEMS = RecentProblems()


def remember() -> None:
    """Remember from now on; calling it again changes nothing."""
    root = logging.getLogger()
    if PROBLEMS not in root.handlers:
        root.addHandler(PROBLEMS)
