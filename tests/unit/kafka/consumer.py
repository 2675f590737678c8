"""A consumer of librdkafka that has some records; ends of partitions are events, as with enable.partition.eof."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, TopicPartition


@dataclass
class Record:
    """A message, or an event where `code` is an error's."""

    at: tuple[str, int]
    number: int
    body: bytes = b"{}"
    code: int | None = None
    time_ms: int = 5_000

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes:
        return self.body

    def key(self) -> bytes:
        return b"k"

    def headers(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.body)

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time_ms

    def error(self) -> Any:
        return None if self.code is None else KafkaError(self.code)


class FakeConsumer:
    """Hands out the records of what is assigned, from the assigned offset on."""

    def __init__(self, *records: Record) -> None:
        self.records = list(records)
        self.assigned: list[list[TopicPartition]] = []
        self.closed = False
        self.offsets: dict[tuple[str, int], TopicPartition] = {}  # as the group committed them
        self.refuses: set[tuple[str, int]] = set()  # partitions whose commit fails
        self.log_ends: dict[tuple[str, int], int] = {}
        self.unassigned: list[tuple[str, int]] = []
        self.looked_up: list[str] = []  # topics whose leaders were asked for
        self._ready: list[Record] = []

    def list_topics(self, topic: str, timeout: float) -> None:
        self.looked_up.append(topic)

    def incremental_assign(self, wanted: list[TopicPartition]) -> None:
        ready = self._ready
        self.assign(wanted)
        self._ready = ready + self._ready

    def incremental_unassign(self, gone: list[TopicPartition]) -> None:
        """What was fetched before may still come."""
        self.unassigned += [(tp.topic, tp.partition) for tp in gone]

    def committed(self, wanted: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        none = -1001
        return [
            self.offsets.get((tp.topic, tp.partition), TopicPartition(tp.topic, tp.partition, none)) for tp in wanted
        ]

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[Any]:
        assert not asynchronous
        answers = []
        for tp in offsets:
            at = (tp.topic, tp.partition)
            error = KafkaError(KafkaError.REQUEST_TIMED_OUT) if at in self.refuses else None
            if error is None:
                self.offsets[at] = tp
            answers.append(SimpleNamespace(topic=tp.topic, partition=tp.partition, error=error))
        return answers

    def get_watermark_offsets(self, tp: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, self.log_ends[tp.topic, tp.partition]

    def assign(self, wanted: list[TopicPartition]) -> None:
        self.assigned.append(wanted)
        begin = {(tp.topic, tp.partition): tp.offset for tp in wanted}
        self._ready = [record for record in self.records if record.at in begin and record.number >= begin[record.at]]

    def unassign(self) -> None:
        self._ready = []

    def consume(self, num_messages: int, timeout: float) -> list[Record]:
        taken, self._ready = self._ready[:num_messages], self._ready[num_messages:]
        return taken

    def poll(self, timeout: float) -> Record | None:
        return next(iter(self.consume(1, timeout)), None)

    def close(self) -> None:
        self.closed = True
