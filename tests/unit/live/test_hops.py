"""stream/live/hops.py: the way of a change by hop, from what the messages themselves say."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

from stream import metrics
from stream.kafka.topic_partition import TP
from stream.live import hops
from stream.live.record_batch import RecordBatch


def seconds(hop: str, name: str) -> float:
    labels = {"mode": "live", "topic": "hops", "hop": hop}
    return metrics.REGISTRY.get_sample_value(f"scorestream_hop_seconds_{name}", labels) or 0.0


def test_each_hop_is_observed_and_messages_without_commit_time_are_left_out() -> None:
    # given 40 changes committed 3 s ago, in Kafka 2 s ago, fetched 1 s ago; and a tombstone, and what is no change
    now_ms = int(time.time() * 1000)
    change = json.dumps({"source": {"ts_ms": now_ms - 3000}}).encode()
    values = [change] * 40 + [None, b"{", b"{}"]
    records = [SimpleNamespace(value=value, timestamp=now_ms - 2000) for value in values]
    batch = RecordBatch(
        TP("hops", 0), records, start=0, end=43, size=0, generation=1, fetched_at=time.monotonic() - 1
    )  # fmt: skip
    # when it was acknowledged
    hops.observe([batch], mode="live")
    # then a sample of them tells each hop
    count = seconds("to_kafka", "count")
    assert 10 <= count <= hops.SAMPLE
    for hop, many in (("to_kafka", count), ("to_worker", count), ("to_clickhouse", 1)):
        assert seconds(hop, "count") == many
        assert abs(seconds(hop, "sum") / many - 1) < 0.2
