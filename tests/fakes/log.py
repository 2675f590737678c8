"""Kafka's log in memory."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.pipeline.dead_letter import Message
from stream.tables import SOURCES


class FakeLog:
    """Topics of Kafka: one for each source table, all with the same number of partitions."""

    def __init__(self, *, partitions: int = 1, prefix: str = "t.app.") -> None:
        self.prefix = prefix
        self.count = partitions
        self.partitions: dict[tuple[str, int], list[Message]] = {
            (table, number): [] for table in SOURCES for number in range(partitions)
        }

    def append(self, table: str, routed_by: str, key: bytes | None, value: bytes | None) -> Message:
        """Append a message; `routed_by` chooses the partition."""
        number = zlib.crc32(routed_by[::-1].encode()) % self.count
        log = self.partitions[table, number]
        message = Message(self.prefix + table, number, len(log), 1_700_000_000_000, key, value)
        log.append(message)
        return message

    def batch(self, table: str, number: int = 0, start: int = 0, end: int | None = None) -> FakeFetched:
        return FakeFetched(self.partitions[table, number][start:end], table, number)

    def all_of(self, table: str) -> list[FakeFetched]:
        return [self.batch(table, number) for number in range(self.count)]


@dataclass(slots=True)
class FakeFetched:
    """Messages of one partition, not always in a row."""

    messages: Sequence[Message]
    table: str = ""
    partition: int = 0
    whole: list[int] = field(default_factory=list)  # indexes that were asked for whole

    @property
    def topic(self) -> str:
        return self.messages[0].topic if self.messages else self.table

    @property
    def start(self) -> int:
        return self.messages[0].offset if self.messages else 0

    @property
    def end(self) -> int:
        return self.messages[-1].offset + 1 if self.messages else 0

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.messages]

    @property
    def keys(self) -> list[bytes | None]:
        return [message.key for message in self.messages]

    def message(self, index: int) -> Message:
        self.whole.append(index)
        return self.messages[index]
