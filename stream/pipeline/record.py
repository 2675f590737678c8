"""Counts a finished batch in the metrics: messages consumed, their outcomes, and the time taken.

Enters: the result of a batch. Leaves: samples of stream/metrics.py. It asks nothing.
"""

from __future__ import annotations

import time

from stream import metrics
from stream.pipeline.ledger import Counts, Done


def record(done: Done, *, mode: str, end_to_end_sample: int = 200) -> None:
    """Count a finished batch. Latency is observed for up to `end_to_end_sample` changes, evenly spread."""
    topic = done.ledger.topic
    consumed = sum(done.ledger.consumed.values())
    metrics.CONSUMED.labels(mode, topic).inc(consumed)
    metrics.BATCH_MESSAGES.labels(mode, topic).observe(consumed)
    for outcome, count in done.ledger.totals().items():
        metrics.OUTCOME.labels(mode, topic, outcome).inc(count)
    for reason, count in done.refused.items():
        metrics.DEAD_LETTERS.labels(mode, topic, reason).inc(count)
    record_rows(topic, done, mode=mode)
    metrics.LATE.labels(mode, topic).inc(done.late)
    metrics.AHEAD.labels(mode, topic).inc(done.ahead)
    for stage, seconds in done.stages.items():
        metrics.STAGE_SECONDS.labels(mode, topic, stage).observe(seconds)
    now = time.time()
    latency = metrics.END_TO_END_SECONDS.labels(mode, topic)
    for commit_ms in done.commit_ms[:: -(-len(done.commit_ms) // end_to_end_sample) or 1]:
        latency.observe(max(0.0, now - commit_ms / 1000))
    metrics.LAST_PROGRESS.labels(mode, topic).set(now)


def record_rows(topic: str, counts: Counts, *, mode: str) -> None:
    """Count what was written, of a batch or of a reindex without messages of its own."""
    metrics.ROWS.labels(mode, topic).inc(counts.rows)
    metrics.REINDEXED.labels(mode, topic).inc(counts.reindexed)
    metrics.MOVED.labels(mode, topic).inc(counts.moved)
