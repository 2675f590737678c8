"""The work of one process of a replay since it began, for its report.

Enters: finished batches. Leaves: counts, the present rate, and the report that other hosts read.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from stream.replay.plan import MemberReport

WINDOW_S: Final = 5.0  # seconds over which the rate is taken


@dataclass(slots=True)
class Worked:
    """What became of a batch."""

    messages: int
    matched: int = 0
    dead_letters: int = 0
    rows: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)  # seconds


class Tally:
    """Counts of one process. For one thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._rates: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self.report = MemberReport(
            member=uuid.uuid4().hex[:12],
            host=socket.gethostname(),
            pid=os.getpid(),
            at_ms=0,
            began_ms=now_ms(),
        )

    def add(self, worked: Worked) -> None:
        """Count a finished batch."""
        self._counts.update(
            messages=worked.messages, matched=worked.matched, failed=worked.dead_letters, rows=worked.rows
        )
        self._outcomes.update(worked.outcomes)

    def per_s(self, now: float | None = None) -> float:
        """Messages/s over the last seconds.

        Args:
            now: seconds of the monotonic clock.
        """
        now, done = time.monotonic() if now is None else now, self._counts["messages"]
        self._rates.append((now, done))
        while now - self._rates[0][0] > WINDOW_S and len(self._rates) > 2:
            self._rates.popleft()
        since, before = self._rates[0]
        return (done - before) / (now - since) if now > since else 0.0

    def said(self, *, ended: bool) -> MemberReport:
        """The report with the present counts."""
        report, counts = self.report, self._counts
        report.at_ms = now_ms()
        report.failed = counts["failed"]
        report.reindexed = counts["messages"] - counts["failed"]
        report.matched = counts["matched"]
        report.rows = counts["rows"]
        report.outcomes = dict(self._outcomes)
        report.dropped = self._outcomes["dropped"]
        report.per_s = 0.0 if ended else round(self.per_s(), 1)
        report.rss_mb = rss_mb()
        report.ended = ended
        return report


def rss_mb() -> float:
    """The most resident memory so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3  # bytes on macOS, kilobytes elsewhere


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
