"""What the worker did, in the log: one line for each topic every ten seconds, instead of one for each batch.

Enters: what became of each batch. Leaves: log lines; at level debug also one for each batch. No row values.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from stream.live.record_batch import RecordBatch
from stream.pipeline.ledger import Done

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
SAMPLE: Final = 20  # changes of a list of batches, whose ages stand for all of them


@dataclass(slots=True)
class _Sums:
    """Sums of one topic since its last line. Times in seconds."""

    batches: int = 0
    took_s: float = 0.0
    slowest_s: float = 0.0
    lag_ms: int = 0
    ages: list[tuple[int, int]] = field(default_factory=list)  # of sampled changes: milliseconds, changes it stands for
    counts: Counter[str] = field(default_factory=Counter)

    def fields(self, topic: str) -> dict[str, Any]:
        """The pairs of the line. `lag_ms`: the oldest change when it was visible; `p99_ms`: 99 % were younger."""
        times = {"busy_ms": round(self.took_s * 1000), "slowest_ms": round(self.slowest_s * 1000)}
        late = {"lag_ms": self.lag_ms} | ({"p99_ms": _p99(self.ages)} if self.ages else {})
        return {"topic": topic, "batches": self.batches} | dict(self.counts) | times | late


class Summary:
    """Adds up the batches of all tables, from any thread. `with`-able: it writes from `__enter__` to `__exit__`."""

    def __init__(self, *, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._sums: dict[str, _Sums] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="summary", daemon=True)

    def add(self, done: Done, batches: Sequence[RecordBatch], *, took_s: float) -> None:
        """Add one list of written batches."""
        topic, outcomes = done.ledger.topic, done.ledger.totals()
        messages = sum(done.ledger.consumed.values())
        now_ms, step = int(time.time() * 1000), -(-len(done.commit_ms) // SAMPLE) or 1
        lag_ms = max(0, now_ms - min(done.commit_ms)) if done.commit_ms else 0
        with self._lock:
            sums = self._sums.setdefault(topic, _Sums())
            sums.batches += 1
            sums.took_s += took_s
            sums.slowest_s = max(sums.slowest_s, took_s)
            sums.lag_ms = max(sums.lag_ms, lag_ms)
            sums.ages += [(max(0, now_ms - each), step) for each in done.commit_ms[step // 2 :: step]]
            sums.counts["messages"] += messages
            sums.counts["rows"] += done.rows
            rare = {"reindexed": done.reindexed, "moved": done.moved, "late": done.late, "ahead": done.ahead}
            for name, count in rare.items():
                if count:
                    sums.counts[name] += count
            for outcome, count in outcomes.items():
                sums.counts[outcome.value] += count
        if log.isEnabledFor(logging.DEBUG):
            stages = {f"{stage}_ms": round(spent * 1000) for stage, spent in done.stages.items() if spent >= 0.001}
            partitions = len({batch.partition for batch in batches})
            own = {"topic": topic, "partitions": partitions, "messages": messages, "rows": done.rows, "lag_ms": lag_ms}
            log.debug("batch", extra=own | {"took_ms": round(took_s * 1000)} | stages)

    def write(self) -> None:
        """Write the lines for the sums since the last ones."""
        with self._lock:
            sums, self._sums = self._sums, {}
        for topic, own in sorted(sums.items()):
            log.info("indexed", extra=own.fields(topic))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(timeout=1)
        self.write()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            self.write()


def _p99(ages: list[tuple[int, int]]) -> int:
    left = sum(count for _, count in ages) / 100
    for age_ms, count in sorted(ages, reverse=True):
        left -= count
        if left < 0:
            return age_ms
    return 0
