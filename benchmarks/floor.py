"""From commit to Kafka: the floor of what an indexer behind it can reach.

The brokers stamp each record when they append it (`LogAppendTime`), and Debezium writes the transaction's commit time
into it. So the floor is read from the log afterwards, and costs nothing while something is measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median
from typing import Final

import msgspec
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from benchmarks.common import Offsets

_STAMP: Final = "message.timestamp.type"


class _Source(msgspec.Struct):
    ts_us: int = 0


class _Envelope(msgspec.Struct):
    source: _Source | None = None


_DECODER: Final = msgspec.json.Decoder(_Envelope)


def stamp_appends(options: dict[str, str | int], topics: Iterable[str]) -> None:
    """Have the brokers write the time of appending into each record of these topics from now on."""
    admin = AdminClient(options)
    entry = ConfigEntry(_STAMP, "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, each, incremental_configs=[entry]) for each in topics]
    for answer in admin.incremental_alter_configs(wanted).values():
        answer.result(timeout=20)


def commit_to_kafka_ms(options: dict[str, str | int], start: Offsets, end: Offsets) -> float:
    """Median milliseconds from commit to the append, over the records between two positions; 0 where there are none."""
    reader = Consumer(options | {"group.id": "benchmark-floor", "isolation.level": "read_committed"})
    left = {tp for tp in end if end[tp] > start.get(tp, 0)}
    found: list[float] = []
    try:
        reader.assign([TopicPartition(*tp, start.get(tp, 0)) for tp in left])
        deadline = time.monotonic() + 120
        while left and time.monotonic() < deadline:
            for message in reader.consume(10_000, timeout=1):
                tp = (message.topic(), message.partition())
                if message.offset() >= end[tp] - 2:  # control records may stand last
                    left.discard(tp)
                if message.error() is None and message.value() and message.offset() < end[tp]:
                    source = _DECODER.decode(message.value()).source
                    if source is not None and source.ts_us:
                        found.append(message.timestamp()[1] - source.ts_us / 1000)
            if not left:
                break
    finally:
        reader.close()
    return round(median(found), 1) if found else 0.0
