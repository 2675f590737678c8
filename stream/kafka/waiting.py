"""Messages that wait, from the oldest on: whose they are, and when they were committed. A bounded look.

Enters: partitions with offsets. Leaves: ids and times, no content. It joins no group and commits nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

import msgspec

from stream.kafka.broker import Broker
from stream.kafka.ranges import records
from stream.kafka.topic_partition import TP
from stream.kafka.waiting_message import WaitingLook, WaitingMessage

MOST: Final = 5_000  # messages of one look, all partitions together


class _Source(msgspec.Struct):
    ts_ms: int = 0


class _Row(msgspec.Struct):
    customer_id: str | None = None
    scorecard_id: str | None = None


class _Value(msgspec.Struct):
    source: _Source | None = None
    before: _Row | None = None
    after: _Row | None = None


_DECODER = msgspec.json.Decoder(_Value)


def look(broker: Broker, ranges: Mapping[TP, tuple[int, int]], *, most: int = MOST) -> WaitingLook:
    """The messages of these [start, end) offsets, from each start on.

    Args:
        most: messages that are read, each partition the same share.

    Raises:
        KafkaUnavailable: the brokers do not answer.
    """
    share = max(1, most // max(1, len(ranges)))
    read = {tp: (start, min(end, start + share)) for tp, (start, end) in ranges.items()}
    found: list[WaitingMessage] = []
    last: dict[TP, float] = {}
    for record in records(broker, read, group=f"scorestream-waiting-{uuid.uuid4().hex[:8]}"):
        message = _message(record.value(), record.timestamp()[1] / 1000)
        last[TP(record.topic(), record.partition())] = message.at
        found.append(message)
    # A partition is in the order of commits: what was not read is not older than what was read last.
    cut = [last.get(tp, 0.0) for tp, (_, end) in ranges.items() if read[tp][1] < end]
    return WaitingLook(found, min(cut, default=None))


def _message(value: bytes | None, appended: float) -> WaitingMessage:
    """Ids of a message. One that cannot be decoded names nobody: the worker makes a dead letter of it."""
    try:
        decoded = _DECODER.decode(value or b"{}")
    except msgspec.MsgspecError:
        return WaitingMessage(appended, None, None)
    row = decoded.after or decoded.before or _Row()
    at = decoded.source.ts_ms / 1000 if decoded.source is not None and decoded.source.ts_ms else appended
    return WaitingMessage(at, row.customer_id, row.scorecard_id)
