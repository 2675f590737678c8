"""The next message of each partition that is behind: whether there is one, and when its change was committed.

Enters: offsets and ends. Leaves: answers. One message of each partition is read, and again only after the partition
has moved. Transaction markers and compacted gaps are skipped: the next message that exists counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.kafka.topic_partition import TP

READ_S = 2.0  # limit for reading the next messages of all partitions that moved
# For one partition: a batch of records. With less, the broker answers for one partition at a time.
_FETCH_BYTES = 256 << 10

READER_OPTIONS: dict[str, Any] = {
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "fetch.message.max.bytes": _FETCH_BYTES,
    "fetch.wait.max.ms": 10,
    "fetch.max.bytes": 16 << 20,
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 65536,
    "fetch.queue.backoff.ms": 5,
    "check.crcs": False,
}


class Next(NamedTuple):
    """The next message at or after an offset: whether there is one, and its time (Unix seconds, None when unread)."""

    waiting: bool
    at: float | None


class _Origin(msgspec.Struct):
    ts_ms: int | None = None


class _Stamped(msgspec.Struct):
    source: _Origin | None = None


_DECODER = msgspec.json.Decoder(_Stamped)


@dataclass(slots=True)
class _Known:
    """The answer for an offset. For an empty stretch also the end up to which it holds."""

    offset: int
    end: int
    next: Next


class NextMessages:
    """Reads and remembers. For one thread; `close` it.

    Args:
        open_reader: makes a consumer with READER_OPTIONS, when a message is first to be read.

    Raises librdkafka's KafkaException; stream/kafka/broker.py says what it means.
    """

    def __init__(self, open_reader: Callable[[], Consumer]) -> None:
        self._open_reader = open_reader
        self._reader: Consumer | None = None
        self._known: dict[TP, _Known] = {}

    def __call__(self, wanted: Mapping[TP, tuple[int, int]]) -> dict[TP, Next]:
        """For each partition's (offset, end): the next message that exists at or after the offset."""
        found: dict[TP, Next] = {}
        ask: dict[TP, tuple[int, int]] = {}
        for tp, (offset, end) in wanted.items():
            held = self._held(tp, offset, end)
            if held is None:
                ask[tp] = (offset, end)
            else:
                found[tp] = held
        for tp, answer in (self._read(ask) if ask else {}).items():
            self._known[tp] = _Known(*ask[tp], answer)
            found[tp] = answer
        return found

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _held(self, tp: TP, offset: int, end: int) -> Next | None:
        """What is known already; None: ask."""
        if offset >= end:
            return Next(waiting=False, at=None)
        held = self._known.get(tp)
        if held is None or held.offset != offset or (not held.next.waiting and held.end != end):
            return None
        # A message whose time could not be read in time is asked for again.
        return held.next if not held.next.waiting or held.next.at is not None else None

    def _read(self, ask: Mapping[TP, tuple[int, int]]) -> dict[TP, Next]:
        """Read one message of each partition. A message that does not arrive in time waits, at an unknown time."""
        if self._reader is None:
            self._reader = self._open_reader()
        reader = self._reader
        found: dict[TP, Next] = {}
        reader.assign([TopicPartition(*tp, offset) for tp, (offset, _) in ask.items()])
        deadline = time.monotonic() + READ_S
        try:
            while len(found) < len(ask) and (left := deadline - time.monotonic()) > 0:
                for record in reader.consume(num_messages=len(ask) - len(found), timeout=min(left, 0.05)):
                    _take(record, ask, found)
        finally:
            reader.unassign()
        return {tp: found.get(tp, Next(waiting=True, at=None)) for tp in ask}


def _take(record: Any, ask: Mapping[TP, tuple[int, int]], found: dict[TP, Next]) -> None:
    tp = TP(record.topic(), record.partition())
    if tp not in ask or tp in found:
        return
    error = record.error()
    if error is None:
        # Messages that were produced after `end` was read belong to the next look.
        found[tp] = Next(waiting=True, at=_time_of(record))
    elif error.code() == KafkaError._PARTITION_EOF:
        found[tp] = Next(waiting=False, at=None)
    else:
        raise KafkaException(error)


def _time_of(record: Any) -> float:
    """Commit time in Postgres when the message tells it, else the record's own time; Unix seconds."""
    value = record.value()
    if value:
        try:
            source = _DECODER.decode(value).source
        except msgspec.DecodeError:  # a message of another producer, which becomes a dead letter
            source = None
        if source is not None and source.ts_ms:
            return source.ts_ms / 1000
    return float(record.timestamp()[1]) / 1000
