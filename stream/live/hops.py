"""The hops of a batch that was just acknowledged: Postgres -> Kafka -> worker -> ClickHouse, as a metric.

Enters: record batches. Leaves: samples. It decodes only a few messages of each batch again, up to their commit time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import chain, islice

import msgspec

from stream import metrics
from stream.live.record_batch import RecordBatch

SAMPLE = 20  # messages of a batch; decoding 20 takes less than 0.1 ms


class _Origin(msgspec.Struct):
    ts_ms: int


class _Stamped(msgspec.Struct):
    source: _Origin


_DECODER = msgspec.json.Decoder(_Stamped)


def observe(batches: Sequence[RecordBatch], *, mode: str) -> None:
    """Observe the hops of an even sample of the messages. Messages without a commit time are left out."""
    step = -(-sum(map(len, batches)) // SAMPLE) or 1
    stamps = [
        (commit_ms, record.timestamp)
        for record in islice(chain.from_iterable(batch.records for batch in batches), None, None, step)
        if (commit_ms := _commit_ms(record.value)) is not None
    ]
    waited_s = time.monotonic() - min(batch.fetched_at for batch in batches)
    metrics.record_hops(batches[0].topic, mode=mode, stamps=stamps, fetched_at=time.time() - waited_s)


def _commit_ms(value: bytes | None) -> int | None:
    try:
        return None if value is None else _DECODER.decode(value).source.ts_ms
    except msgspec.MsgspecError:  # a dead letter
        return None
