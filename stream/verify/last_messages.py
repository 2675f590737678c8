"""The last messages of one scorecard in Kafka, and of its scores: a bounded look at the ends of their partitions.

PartitionRouting puts a scorecard and its scores into the partition that a hash of the scorecard's id chooses. Which one
that is, is not computed, so that other connectors' topics serve, too: the end of each partition is gone through.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.config import Settings
from stream.errors import KafkaUnavailable, Refused
from stream.kafka.broker import LagSource
from stream.kafka.client import MESSAGE_MAX_BYTES, arrived, client_options
from stream.kafka.offsets import TP
from stream.pipeline.ordering import version
from stream.tables import SCORE, SCORECARD
from stream.times import moment

_TIMEOUT_S = 20.0
_SHOWN = 50  # messages kept of what was found


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A message that names the scorecard. No content but the operation and the order."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    op: str
    version: int | None
    row_id: str

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "time": moment(self.time_ms * 1000).isoformat(timespec="milliseconds"),
            "op": self.op,
            "version": None if self.version is None else str(self.version),
            "row_id": self.row_id,
        }


class _Source(msgspec.Struct):
    sequence: str | None = None
    ts_ms: int = 0


class _Row(msgspec.Struct):
    scorecard_id: str | None = None
    score_id: str | None = None


class _Message(msgspec.Struct):
    op: str = "?"
    source: _Source | None = None
    before: _Row | None = None
    after: _Row | None = None


_DECODER = msgspec.json.Decoder(_Message)


def last_messages(settings: Settings, scorecard_id: str, *, most: int) -> list[LogEntry]:
    """The newest messages that name a scorecard, oldest first.

    Args:
        most: messages looked at, from the ends of all partitions of both topics together.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    lag = LagSource(settings.kafka)
    try:
        tps = lag.partitions([settings.topic(SCORECARD.source), settings.topic(SCORE.source)])
        ends, starts = lag.ends(tps), lag.starts(tps)
    finally:
        lag.close()
    each = max(1, most // max(1, len(tps)))
    begin = {tp: max(starts[tp], ends[tp] - each) for tp in tps}
    ranges = {tp: (begin[tp], ends[tp]) for tp in tps if begin[tp] < ends[tp]}
    wanted = scorecard_id.encode()
    found: deque[LogEntry] = deque(maxlen=_SHOWN)
    for record in _records(settings, ranges):
        value = record.value()
        if value is not None and wanted in value.lower():
            entry = _entry(settings, record, scorecard_id)
            if entry is not None:
                found.append(entry)
    return sorted(found, key=lambda entry: (entry.time_ms, entry.topic, entry.offset))


def _records(settings: Settings, ranges: dict[TP, tuple[int, int]]) -> Iterator[Any]:
    """The records of these ranges of offsets."""
    if not ranges:
        return
    consumer = Consumer(
        client_options(settings.kafka)
        | {
            "group.id": f"scorestream-explain-{uuid.uuid4().hex[:8]}",  # never joined, never committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": MESSAGE_MAX_BYTES,
        }
    )
    try:
        consumer.assign([TopicPartition(*tp, begin) for tp, (begin, _) in ranges.items()])
        left = dict(ranges)
        deadline = time.monotonic() + _TIMEOUT_S
        while left:
            for record in arrived(consumer, 1_000, timeout_s=0.5):
                deadline = time.monotonic() + _TIMEOUT_S
                tp = TP(record.topic(), record.partition())
                error = record.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    left.pop(tp, None)
                elif tp in left:
                    if record.offset() < left[tp][1]:
                        yield record
                    if record.offset() + 1 >= left[tp][1]:
                        left.pop(tp)
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"no message of {next(iter(left))} within {_TIMEOUT_S:.0f} s")
    except KafkaException as error:
        raise KafkaUnavailable(f"Kafka: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _entry(settings: Settings, record: Any, scorecard_id: str) -> LogEntry | None:
    try:
        message = _DECODER.decode(record.value())
    except msgspec.MsgspecError:
        return LogEntry(record.topic(), record.partition(), record.offset(), record.timestamp()[1], "?", None, "")
    rows = [row for row in (message.after, message.before) if row is not None]
    if not any((row.scorecard_id or "").lower() == scorecard_id for row in rows):
        return None
    at = message.source.ts_ms if message.source and message.source.ts_ms else record.timestamp()[1]
    try:
        order = version(message.source.sequence if message.source else None, epoch=settings.epochs.of(at))
    except Refused:
        order = None
    return LogEntry(
        record.topic(), record.partition(), record.offset(), at, message.op, order, rows[0].score_id or scorecard_id
    )
