"""The last messages of one scorecard in Kafka, and of its scores: a bounded look at the ends of their partitions.

PartitionRouting puts a scorecard and its scores into the partition that a hash of the scorecard's id chooses. This
module does not compute that partition, so that it serves other connectors' topics, too. It goes through the end of each
partition.
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from stream.epochs import Epochs
from stream.errors import Refused
from stream.kafka.broker import Broker
from stream.kafka.ranges import records
from stream.pipeline.ordering import version
from stream.tables import SCORE, SCORECARD
from stream.times import moment

_SHOWN = 50  # matching messages that are kept


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


def last_messages(broker: Broker, epochs: Epochs, scorecard_id: str, *, most: int) -> list[LogEntry]:
    """The newest messages that name a scorecard, oldest first.

    Args:
        most: messages looked at, from the ends of all partitions of both topics together.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    tps = broker.partitions([broker.topics.of(SCORECARD.source), broker.topics.of(SCORE.source)])
    ends, starts = broker.ends(tps), broker.starts(tps)
    each = max(1, most // max(1, len(tps)))
    ranges = {tp: (max(starts[tp], ends[tp] - each), ends[tp]) for tp in tps}
    wanted = scorecard_id.encode()
    found: deque[LogEntry] = deque(maxlen=_SHOWN)
    for record in records(broker, ranges, group=f"scorestream-explain-{uuid.uuid4().hex[:8]}"):
        value = record.value()
        if value is not None and wanted in value.lower():
            entry = _entry(epochs, record, scorecard_id)
            if entry is not None:
                found.append(entry)
    return sorted(found, key=lambda entry: (entry.time_ms, entry.topic, entry.offset))


def _entry(epochs: Epochs, record: Any, scorecard_id: str) -> LogEntry | None:
    try:
        message = _DECODER.decode(record.value())
    except msgspec.MsgspecError:
        return LogEntry(record.topic(), record.partition(), record.offset(), record.timestamp()[1], "?", None, "")
    rows = [row for row in (message.after, message.before) if row is not None]
    if not any((row.scorecard_id or "").lower() == scorecard_id for row in rows):
        return None
    at = message.source.ts_ms if message.source and message.source.ts_ms else record.timestamp()[1]
    try:
        order = version(message.source.sequence if message.source else None, epoch=epochs.of(at))
    except Refused:
        order = None
    return LogEntry(
        record.topic(), record.partition(), record.offset(), at, message.op, order, rows[0].score_id or scorecard_id
    )
