"""A process's own account: its metrics as JSON, without those for Prometheus alone."""

from __future__ import annotations

import json
import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.web.process_state import process_state


def test_the_monitor_reads_totals_and_buckets_and_no_nan() -> None:
    # given a counter, a gauge without a value, and histograms of which one is for Prometheus alone
    registry = CollectorRegistry()
    Counter("scorestream_messages", "m", ["topic"], registry=registry).labels("scores").inc(3)
    Gauge("scorestream_lag_seconds", "l", registry=registry).set(float("nan"))
    Histogram("scorestream_hop_seconds", "h", buckets=(1,), registry=registry).observe(0.5)
    Histogram("scorestream_batch_seconds", "b", buckets=(1,), registry=registry).observe(0.5)
    Gauge("python_threads", "t", registry=registry).set(1)
    # when the process tells of itself
    found = process_state(registry, role="worker", partitions=[("scores", 3)], ending=True)
    # then its figures are JSON, and the rest is left out
    json.dumps(found, allow_nan=False)
    assert found["samples"]["scorestream_messages_total"] == [[{"topic": "scores"}, 3.0]]
    assert found["samples"]["scorestream_lag_seconds"] == [[{}, None]]
    assert [labels["le"] for labels, _ in found["samples"]["scorestream_hop_seconds_bucket"]] == ["1.0", "+Inf"]
    assert not [name for name in found["samples"] if "batch" in name or "python" in name or "_created" in name]
    assert (found["role"], found["pid"], found["partitions"], found["ending"]) == (
        "worker", os.getpid(), [("scores", 3)], True,
    )  # fmt: skip
