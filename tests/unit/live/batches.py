"""Records and batches for the tests of this folder."""

from __future__ import annotations

import time
from types import SimpleNamespace

from stream.kafka.topic_partition import TP
from stream.live.record_batch import RecordBatch

SCORES = TP("scores", 3)


def record(offset: int, value: bytes | None = b"v", key: bytes | None = b"k") -> SimpleNamespace:
    return SimpleNamespace(
        offset=offset, value=value, key=key, timestamp=1_700, timestamp_type=0, headers=[("h", b"1"), ("n", None)]
    )


def batch_of(count: int, *, start: int = 0, tp: TP = SCORES, age_s: float = 0.0, size: int = 0) -> RecordBatch:
    records = [record(start + index) for index in range(count)]
    return RecordBatch(
        tp, records, start=start, end=start + count, size=size, generation=1, fetched_at=time.monotonic() - age_s
    )
