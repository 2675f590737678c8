"""RecordBatch: the records of one fetch of a partition; and the order in which batches are delivered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import faust
from faust.types import TP as FaustTP
from faust.types import ConsumerMessage

from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import Message


class RecordBatch:
    """Records of one partition, in the order of the log.

    Attributes:
        start, end: the positions in the log before and after them; end may lie beyond the last record's offset + 1.
        fetched_at: time.monotonic() when they were taken from the fetched bytes.
        generation: generation of the consumer group at that time.
        in_doubt: a predecessor that died may have begun to process these records.
        old: the group has processed these records before, and was moved back since.
        aside: they are processed but for a large reindex, and the records are gone from memory.
        has_letters: dead letters of these records wait for that, in memory.
    """

    __slots__ = (
        "_keys",
        "_values",
        "aside",
        "end",
        "fetched_at",
        "generation",
        "has_letters",
        "in_doubt",
        "old",
        "partition",
        "records",
        "size",
        "start",
        "topic",
    )

    def __init__(
        self, tp: TP, records: Sequence[Any], *, start: int, end: int, size: int, generation: int, fetched_at: float
    ) -> None:
        self.topic, self.partition = tp
        self.records = records
        self.start = start
        self.end = end
        self.size = size
        self.generation = generation
        self.fetched_at = fetched_at
        self.in_doubt = False
        self.old = False
        self.aside = False
        self.has_letters = False
        self._values: list[bytes | None] | None = None
        self._keys: list[bytes | None] | None = None

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<RecordBatch {self.topic}[{self.partition}] {self.start}..{self.end} records={len(self.records)}>"

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    @property
    def last_offset(self) -> int:
        return int(self.records[-1].offset)

    @property
    def values(self) -> list[bytes | None]:
        if self._values is None:
            self._values = [record.value for record in self.records]
        return self._values

    @property
    def keys(self) -> list[bytes | None]:
        if self._keys is None:
            self._keys = [record.key for record in self.records]
        return self._keys

    def as_message(self) -> ConsumerMessage:
        """The list as one message of Faust's."""
        return ConsumerMessage(
            self.topic,
            self.partition,
            self.last_offset,
            self.records[-1].timestamp / 1000,
            self.records[-1].timestamp_type,
            None,
            None,
            self,
            None,
            0,
            self.size,
            FaustTP(self.topic, self.partition),
            generation_id=self.generation,
        )

    def leave_aside(self) -> None:
        """Let the records go, since they are processed. The batch is acknowledged only after a large reindex."""
        self.aside, self.records, self._values, self._keys = True, (), None, None

    def message(self, index: int) -> Message:
        """The whole message, for a dead letter."""
        record = self.records[index]
        return Message(
            topic=self.topic,
            partition=self.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
        )


class BatchScheduler:
    """The order in which fetched records are delivered, as Faust's ConsumerScheduler.

    Each partition's list stays whole.
    """

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        """(partition, its records), topic by topic in turn, so that no topic waits for all partitions of another."""
        by_topic: dict[str, list[tuple[TP, Any]]] = {}
        for tp, fetched in records.items():
            by_topic.setdefault(tp.topic, []).append((tp, fetched))
        waiting = list(by_topic.values())
        while waiting:
            for fetched in waiting:
                yield fetched.pop(0)
            waiting = [fetched for fetched in waiting if fetched]


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Hands the batch over as it is: no serializer sees it."""

    def compile(self, app: Any, **_options: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode
