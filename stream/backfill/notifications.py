"""Debezium's notifications of incremental snapshots -> how far a step is. Pure.

Debezium may report one step twice. After a restart Connect goes on behind the last row that it had committed, and reads
and reports the rows behind that again. `total_rows_scanned` then counts from the restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import msgspec

from stream.kafka.broker import Broker
from stream.kafka.state_topic import Tail

INCREMENTAL = "Incremental Snapshot"
_GOOD = {"SUCCEEDED", "EMPTY"}


class _Data(msgspec.Struct):
    total_rows_scanned: str | None = None
    status: str | None = None


class Notification(msgspec.Struct):
    """A message of the notifications topic. `id` is the signal's, for an incremental snapshot."""

    id: str
    aggregate_type: str = ""
    type: str = ""
    additional_data: _Data | None = None
    timestamp: int = 0


_DECODER = msgspec.json.Decoder(Notification)


def parse(value: bytes | None) -> Notification | None:
    """Parse a message. None: another program's, or of another kind of snapshot."""
    try:
        found = _DECODER.decode(value or b"")
    except msgspec.MsgspecError:
        return None
    return found if found.aggregate_type == INCREMENTAL else None


@dataclass(slots=True)
class News:
    """The notifications of one signal, summed up."""

    started_ms: int | None = None
    last_ms: int = 0
    chunks: int = 0
    scanned: int | None = None  # rows by Debezium's count
    completed: bool = False
    aborted: bool = False
    paused: bool = False
    fault: str = ""  # why a table was not read

    def add(self, note: Notification) -> None:
        self.last_ms = max(self.last_ms, note.timestamp)
        data = note.additional_data or _Data()
        match note.type:
            case "STARTED":
                self.started_ms = self.started_ms or note.timestamp
            case "IN_PROGRESS":
                self.chunks += 1
                self.paused = False
            case "TABLE_SCAN_COMPLETED":
                self.scanned = int(data.total_rows_scanned or 0)
                if data.status not in _GOOD:
                    self.fault = data.status or "no status"
            case "COMPLETED":
                # A stopped snapshot also counts as complete, but never as a table that was read to its end.
                self.completed = self.scanned is not None
                self.aborted = not self.completed
            case "ABORTED":
                self.aborted = True
            case "PAUSED":
                self.paused = True
            case "RESUMED":
                self.paused = False

    def rows(self, *, chunk: int, expected: int) -> int:
        """Rows read: Debezium's own count where it has one, else whole chunks."""
        by_chunks = min(self.chunks * chunk, expected)
        if self.scanned is None:
            return by_chunks
        # A count that is smaller than all chunks but the last began after a restart.
        return self.scanned if self.scanned > (self.chunks - 1) * chunk else max(self.scanned, by_chunks)

    @property
    def seconds(self) -> float:
        """Seconds from the start to the last notification."""
        return 0.0 if self.started_ms is None else max(0, self.last_ms - self.started_ms) / 1000


class Notifications:
    """Debezium's notifications of incremental snapshots, from an offset on."""

    def __init__(self, broker: Broker, *, offset: int) -> None:
        self._tail = Tail(broker, broker.topics.notifications, offset=offset)

    def end(self) -> int:
        return self._tail.end()

    def poll(self, timeout_s: float) -> list[Notification]:
        return [note for message in self._tail.poll(timeout_s) if (note := parse(message.value())) is not None]

    def all(self) -> list[Notification]:
        return [note for message in self._tail.all() if (note := parse(message.value())) is not None]

    def close(self) -> None:
        self._tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
