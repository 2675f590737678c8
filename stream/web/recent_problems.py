"""The last warnings and errors that this process logged: the dashboard shows them as "last error".

Enters: log records. Leaves: short texts with their time. Log lines never hold row values or secrets, so these do not.
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
        # Loggers of this process's own monitor: the page shows their findings anyway.
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
    """Remember problems from now on. A second call changes nothing."""
    root = logging.getLogger()
    if PROBLEMS not in root.handlers:
        root.addHandler(PROBLEMS)
