"""The highest version before an offset, from the last messages before it: what a rewind and a replay begin with.

Debezium writes a partition in the order of versions. So the messages before a start tell what the partition had reached
there. A copy that is the first message behind the start is late then (stream/pipeline/late.py).

Enters: partitions with offsets. Leaves: versions. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from stream.epochs import Epochs
from stream.errors import Refused
from stream.kafka.broker import Broker
from stream.kafka.ranges import records
from stream.kafka.topic_partition import TP
from stream.pipeline.ordering import lacks_commit, version

LOOK_BACK: Final = 500  # offsets; some may be gone by compaction, and some are transaction markers


class _Origin(msgspec.Struct, gc=False):
    sequence: str = ""
    ts_ms: int = 0
    snapshot: str | bool | None = None


class _Envelope(msgspec.Struct, gc=False):
    source: _Origin


_decode = msgspec.json.Decoder(_Envelope).decode


def reached_before(broker: Broker, offsets: Mapping[TP, int], epochs: Epochs, *, group: str) -> dict[TP, int]:
    """The highest version of the messages right before these offsets, where there are any.

    Args:
        group: name of the reader for the brokers' permissions; it is never joined.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    starts = broker.starts(list(offsets))
    ranges = {tp: (max(starts[tp], offset - LOOK_BACK), offset) for tp, offset in offsets.items()}
    values: dict[TP, list[bytes | None]] = {}
    for record in records(broker, ranges, group=group):
        values.setdefault(TP(record.topic(), record.partition()), []).append(record.value())
    return {tp: found for tp, held in values.items() if (found := highest(held, epochs))}


def highest(values: Iterable[bytes | None], epochs: Epochs) -> int:
    """The highest version of these messages; 0 where none tells one."""
    found = 0
    for value in values:
        try:
            source = _decode(value or b"").source
            if not lacks_commit(source.sequence, source.snapshot):
                found = max(found, version(source.sequence, epoch=epochs.of(source.ts_ms)))
        except (msgspec.MsgspecError, Refused):
            continue  # a tombstone, or a message that the pipeline refuses
    return found
