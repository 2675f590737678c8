"""Stretches of the log, each read from a start to an end, with librdkafka. Joins no group; commits on request.

Enters: partitions with offsets. Leaves: messages of one partition at a time, as stretches [start, end) of the log.

A reader has reached a partition's end when its position has. Compacted gaps, transaction markers and aborted messages
before the end bring no message. librdkafka's end-of-partition events say that they were passed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, TopicPartition

from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.client import MESSAGE_MAX_BYTES
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import Message

QUEUE_KBYTES = 12 << 10  # read-ahead, which bounds a reader's memory besides the batches under way
log = logging.getLogger(__name__)

# librdkafka reports these while it connects again.
_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_SHORT_S = 60.0  # seconds after which an end beyond the log is an error


class Stretch:
    """Messages of one partition, in order; `start` and `end` are the positions before and after them."""

    __slots__ = ("_keys", "_messages", "_values", "end", "partition", "start", "topic")

    def __init__(self, tp: TP, messages: Sequence[Any], *, start: int, end: int) -> None:
        self.topic, self.partition = tp
        self.start = start
        self.end = end
        self._messages = messages
        self._values: list[bytes | None] | None = None
        self._keys: list[bytes | None] | None = None

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    @property
    def last_offset(self) -> int | None:
        """Offset of the last message; None without any."""
        return int(self._messages[-1].offset()) if self._messages else None

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(map(len, self._messages))  # a message's length is its value's

    @property
    def values(self) -> list[bytes | None]:
        if self._values is None:
            self._values = [message.value() for message in self._messages]
        return self._values

    @property
    def keys(self) -> list[bytes | None]:
        if self._keys is None:
            self._keys = [message.key() for message in self._messages]
        return self._keys

    def message(self, index: int) -> Message:
        """The whole message, for a dead letter."""
        found = self._messages[index]
        return Message(
            topic=self.topic,
            partition=self.partition,
            offset=found.offset(),
            timestamp_ms=found.timestamp()[1],
            key=found.key(),
            value=found.value(),
            headers=tuple(found.headers() or ()),
        )

    def only(self, wanted: Sequence[int]) -> Stretch:
        """The same stretch with only these of its messages."""
        return Stretch(self.tp, [self._messages[index] for index in wanted], start=self.start, end=self.end)


class LogReader:
    """Reads stretches; `with`-able, for one thread.

    Args:
        group: group whose offsets `commit` sets and `committed` reads. It must have no members.
        follows: keep partitions open at their ends; the next `add` only moves the end. For a reader that goes to the
            end of the log again and again: to open a partition costs several requests.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, broker: Broker, *, group: str, follows: bool = False) -> None:
        self._broker = broker
        self._follows = follows
        self._consumer = broker.consumer(
            group,
            {
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "check.crcs": True,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": QUEUE_KBYTES,
                # seconds until a full queue is looked at again; the default is one second
                "fetch.queue.backoff.ms": 10,
                "fetch.message.max.bytes": 512 << 10,
                "fetch.wait.max.ms": 10 if follows else 50,
                "receive.message.max.bytes": 4 * MESSAGE_MAX_BYTES,
            },
        )
        self._position: dict[TP, int] = {}
        self._ends: dict[TP, int] = {}
        self._moved_at: dict[TP, float] = {}
        self._known: set[str] = set()  # topics whose leaders are known

    @property
    def reading(self) -> set[TP]:
        """Partitions whose end has not been reached."""
        return {tp for tp, position in self._position.items() if position < self._ends[tp]}

    def add(self, spans: Mapping[TP, tuple[int, int]]) -> None:
        """Read these partitions, too, each from a start to an end. An empty span is at its end at once."""
        fresh = []
        for tp, (start, end) in spans.items():
            if start >= end:
                continue
            if tp not in self._position:
                self._position[tp] = start
                fresh.append(TopicPartition(*tp, start))
            self._ends[tp] = end
            self._moved_at[tp] = time.monotonic()
        if fresh:
            with self._broker.asking("offsets"):
                # librdkafka looks for an unknown leader only once a second.
                for topic in {tp.topic for tp in fresh} - self._known:
                    self._consumer.list_topics(topic, timeout=10)
                    self._known.add(topic)
                self._consumer.incremental_assign(fresh)

    def drop(self, tps: Iterable[TP]) -> None:
        """Stop reading these partitions."""
        held = [tp for tp in tps if tp in self._position]
        for tp in held:
            del self._position[tp], self._ends[tp], self._moved_at[tp]
        if held:
            with self._broker.asking("offsets"):
                self._consumer.incremental_unassign([TopicPartition(*tp) for tp in held])

    def read(self, max_messages: int, *, timeout_s: float) -> list[Stretch]:
        """Messages that have arrived, one stretch for each partition; [] when none arrives in time.

        Raises:
            UsageError: the log does not have the offsets (any more).
        """
        with self._broker.asking("offsets"):
            messages = self._consumer.consume(max_messages, timeout_s)
        runs: dict[tuple[str, int], list[Any]] = {}
        events = []
        for message in messages:
            if message.error() is not None:
                events.append(message)
                continue
            key = (message.topic(), message.partition())
            run = runs.get(key)
            if run is None:
                runs[key] = run = []
            run.append(message)
        found = [stretch for key, run in runs.items() if (stretch := self._take(TP(*key), run)) is not None]
        found += [stretch for event in events if (stretch := self._event(event)) is not None]
        if not messages:
            self._check_short()
        return found

    def committed(self, tps: Sequence[TP]) -> dict[TP, int]:
        """The group's committed offsets; partitions without one are missing."""
        with self._broker.asking("offsets"):
            answer = self._consumer.committed([TopicPartition(*tp) for tp in tps], timeout=20)
        return {TP(a.topic, a.partition): a.offset for a in answer if a.error is None and a.offset >= 0}

    def marks(self, tps: Sequence[TP]) -> dict[TP, tuple[int, str]]:
        """The group's committed offsets with their metadata; partitions without one are missing."""
        with self._broker.asking("offsets"):
            answer = self._consumer.committed([TopicPartition(*tp) for tp in tps], timeout=20) if tps else []
        return {TP(a.topic, a.partition): (a.offset, _metadata(a)) for a in answer if a.error is None and a.offset >= 0}

    def commit(self, offsets: Mapping[TP, int], *, metadata: Mapping[TP, str] | None = None) -> None:
        """Commit offsets for the group, with their metadata where given. Returns when the broker has them."""
        if not offsets:
            return
        with self._broker.asking("offsets"):
            answer = self._consumer.commit(
                offsets=[TopicPartition(*tp, at, (metadata or {}).get(tp, "")) for tp, at in offsets.items()],
                asynchronous=False,
            )
        for each in answer or ():
            if each.error is not None:
                raise self._broker.unavailable(f"commit of {each.topic}-{each.partition}", each.error)

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _take(self, tp: TP, run: list[Any]) -> Stretch | None:
        start = self._position.get(tp)
        if start is None:  # read ahead, of a partition that was dropped
            return None
        if self._follows:
            return self._moved(tp, run, start, run[-1].offset() + 1)
        end = self._ends[tp]
        reached = run[-1].offset() + 1 >= end
        while run and run[-1].offset() >= end:
            run.pop()
        position = end if reached else run[-1].offset() + 1
        return self._moved(tp, run, start, position)

    def _event(self, event: Any) -> Stretch | None:
        error = event.error()
        tp = TP(event.topic(), event.partition())
        if error.code() == KafkaError._PARTITION_EOF:
            start = self._position.get(tp)
            if start is None or event.offset() < (start if self._follows else self._ends[tp]):
                return None
            return self._moved(tp, [], start, event.offset() if self._follows else self._ends[tp])
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise UsageError(
                f"{tp.topic}-{tp.partition} no longer has offset {self._position.get(tp, event.offset())}: it is gone "
                "by retention. Run `scorestream backfill` for that time, and a replay of what the log still has"
            )
        if error.code() in _PASSING:
            log.warning("kafka", extra={"cause": error.str()})  # librdkafka goes on by itself
            return None
        raise self._broker.unavailable(f"{tp.topic}-{tp.partition}", error)

    def _moved(self, tp: TP, run: list[Any], start: int, position: int) -> Stretch:
        if position >= self._ends[tp] and not self._follows:
            self.drop([tp])
        else:
            self._position[tp] = position
            self._moved_at[tp] = time.monotonic()
        return Stretch(tp, run, start=start, end=position)

    def _check_short(self) -> None:
        """Raise for an end beyond the log's own: the topic was created again, or lost its last messages."""
        now = time.monotonic()
        for tp, since in self._moved_at.items():
            if now - since < _SHORT_S or self._position[tp] >= self._ends[tp]:
                continue
            self._moved_at[tp] = now
            with self._broker.asking("offsets"):
                marks = self._consumer.get_watermark_offsets(TopicPartition(*tp), timeout=10)
            if marks is not None and marks[1] < self._ends[tp]:
                raise UsageError(
                    f"{tp.topic}-{tp.partition} ends at {marks[1]}, before offset {self._ends[tp]}, which it had: was "
                    "the topic created again? Delete this replay and start another"
                )


def _metadata(committed: TopicPartition) -> str:
    """The metadata of a committed offset, perhaps with other text behind it.

    The client takes the text for longer than it is, and raises when bytes behind it are no UTF-8 (seen with 2.16).
    """
    try:
        return committed.metadata or ""
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")
