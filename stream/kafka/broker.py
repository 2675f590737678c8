"""What Kafka says about a consumer group: offsets, members, and the time of the next message not yet indexed.

Enters: settings. Leaves: plain values, for stream/monitor/lag.py. It joins no group and commits nothing.

The time comes from the message itself: one message for each partition that is behind. It is read again only after the
partition has moved. Transaction markers and compacted gaps are skipped: the next message that exists counts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from stream.errors import KafkaUnavailable
from stream.kafka import groups as kafka_groups
from stream.kafka.client import client_options
from stream.kafka.groups import Group
from stream.kafka.offsets import TP
from stream.sections import KafkaSettings

READ_S = 2.0  # limit for reading the next messages of all partitions that moved
# For one partition: a batch of records. With less, the broker answers for one partition at a time.
_FETCH_BYTES = 256 << 10


class Offsets(NamedTuple):
    """Offsets of one partition. `committed` is None when the group never committed one."""

    start: int
    end: int
    committed: int | None


class Next(NamedTuple):
    """The next message at or after an offset: whether there is one, and its time (Unix seconds, None when unread)."""

    waiting: bool
    at: float | None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a topic keeps a message (seconds), and what is gone afterwards. None = for ever."""

    seconds: float | None
    compacted: bool


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


@dataclass(slots=True)
class _Cache:
    known: dict[TP, _Known] = field(default_factory=dict)

    def get(self, tp: TP, offset: int, end: int) -> Next | None:
        if offset >= end:
            return Next(waiting=False, at=None)
        held = self.known.get(tp)
        if held is None or held.offset != offset or (not held.next.waiting and held.end != end):
            return None
        # A message whose time could not be read in time is asked for again.
        return held.next if not held.next.waiting or held.next.at is not None else None


class LagSource:
    """Reads one group's lag. For one thread; `close` it.

    Every method raises KafkaUnavailable when no broker answers within `timeout_s`.
    """

    def __init__(self, settings: KafkaSettings, *, timeout_s: float = 5) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._options = client_options(settings) | {"reconnect.backoff.max.ms": 2000}
        self._admin = AdminClient(self._options)
        self._groups: dict[str, Consumer] = {}
        self._reader_options = self._options | {
            "group.id": f"scorestream-lag-{uuid.uuid4().hex[:8]}",  # never joined, never committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
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
        self._reader: Consumer | None = None
        self._cache = _Cache()
        self._starts: dict[TP, int] = {}

    def close(self) -> None:
        """Close the clients."""
        clients, self._groups = list(self._groups.values()), {}
        if self._reader is not None:
            clients.append(self._reader)
            self._reader = None
        for client in clients:
            client.close()

    def partitions(self, topics: Iterable[str]) -> list[TP]:
        """All partitions of these topics. Topics that do not exist are left out."""
        wanted = set(topics)
        with self._asking():
            found = self._admin.list_topics(timeout=self._timeout_s)
        return [
            TP(name, number)
            for name, topic in sorted(found.topics.items())
            if name in wanted and topic.error is None
            for number in sorted(topic.partitions)
        ]

    def cluster_id(self) -> str | None:
        """The id of the cluster, which no other cluster has."""
        with self._asking():
            found: str | None = self._admin.list_topics(timeout=self._timeout_s).cluster_id
        return found

    def ends(self, tps: Sequence[TP]) -> dict[TP, int]:
        """The offset after the last message that readers of committed transactions see."""
        return self._list_offsets(tps, OffsetSpec.latest())

    def starts(self, tps: Sequence[TP]) -> dict[TP, int]:
        """The first offset that the log still has."""
        return self._list_offsets(tps, OffsetSpec.earliest())

    def committed(self, group: str, tps: Sequence[TP]) -> dict[TP, int]:
        """Committed offsets. Partitions without one are missing."""
        # A consumer that never subscribes joins no group. (AdminClient.list_consumer_group_offsets kills the process by
        # a segmentation fault while the coordinator of the group is loading, as of confluent-kafka 2.16.)
        if group not in self._groups:
            self._groups[group] = Consumer(self._options | {"group.id": group, "enable.auto.commit": False})
        with self._asking():
            answer = self._groups[group].committed([TopicPartition(*tp) for tp in tps], timeout=self._timeout_s)
        return {
            TP(each.topic, each.partition): each.offset for each in answer if each.error is None and each.offset >= 0
        }

    def offsets(self, group: str, tps: Sequence[TP], *, refresh_starts: bool = True) -> dict[TP, Offsets]:
        """Start, end and committed offset of each partition.

        Ends are read first. A commit that comes afterwards covers them, so the lag is never overstated.
        """
        ends = self.ends(tps)
        committed = self.committed(group, tps)
        if refresh_starts or any(tp not in self._starts for tp in tps):
            self._starts |= self.starts(tps)
        return {
            tp: Offsets(start=min(self._starts[tp], end), end=end, committed=committed.get(tp))
            for tp, end in ends.items()
        }

    def group(self, name: str) -> Group:
        """Members of the group and their partitions. A group that does not exist is DEAD."""
        with self._asking():
            return kafka_groups.describe(self._admin, name, timeout_s=self._timeout_s)

    def delete_group(self, name: str) -> None:
        """Delete a group with its committed offsets. A group that does not exist is no error.

        Raises:
            KafkaUnavailable: no broker answers, or the group has members.
        """
        with self._asking():
            try:
                self._admin.delete_consumer_groups([name], request_timeout=4 * self._timeout_s)[name].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise

    def retention(self, topics: Sequence[str]) -> dict[str, Retention]:
        """How long the topics keep a message, by their options."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        if not resources:
            return {}
        with self._asking():
            futures = self._admin.describe_configs(resources, request_timeout=self._timeout_s)
            answers = {resource.name: future.result() for resource, future in futures.items()}
        return {
            name: _retention({key: entry.value for key, entry in options.items()}) for name, options in answers.items()
        }

    def next_messages(self, wanted: Mapping[TP, tuple[int, int]]) -> dict[TP, Next]:
        """For each partition's (offset, end): the next message that exists at or after the offset."""
        found: dict[TP, Next] = {}
        ask: dict[TP, tuple[int, int]] = {}
        for tp, (offset, end) in wanted.items():
            held = self._cache.get(tp, offset, end)
            if held is None:
                ask[tp] = (offset, end)
            else:
                found[tp] = held
        if ask:
            with self._asking():
                answers = self._read(ask)
            for tp, answer in answers.items():
                self._cache.known[tp] = _Known(*ask[tp], answer)
                found[tp] = answer
        return found

    def _read(self, ask: Mapping[TP, tuple[int, int]]) -> dict[TP, Next]:
        """Read one message of each partition. A message that does not arrive in time waits, at an unknown time."""
        if self._reader is None:
            self._reader = Consumer(self._reader_options)
        reader = self._reader
        found: dict[TP, Next] = {}
        reader.assign([TopicPartition(*tp, offset) for tp, (offset, _) in ask.items()])
        deadline = time.monotonic() + READ_S
        try:
            while len(found) < len(ask) and (left := deadline - time.monotonic()) > 0:
                for record in reader.consume(num_messages=len(ask) - len(found), timeout=min(left, 0.05)):
                    self._take(record, ask, found)
        finally:
            reader.unassign()
        return {tp: found.get(tp, Next(waiting=True, at=None)) for tp in ask}

    def _take(self, record: Any, ask: Mapping[TP, tuple[int, int]], found: dict[TP, Next]) -> None:
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

    def _list_offsets(self, tps: Sequence[TP], spec: OffsetSpec) -> dict[TP, int]:
        if not tps:
            return {}
        wanted = {TopicPartition(*tp): spec for tp in tps}
        with self._asking():
            futures = self._admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._timeout_s
            )
            return {TP(tp.topic, tp.partition): future.result().offset for tp, future in futures.items()}

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka at {self._settings.bootstrap_servers}: {error.args[0].str()}") from error


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


def _retention(options: Mapping[str, str]) -> Retention:
    policies = options.get("cleanup.policy", "delete").split(",")
    compacted = "compact" in policies
    if "delete" in policies:
        kept_ms = int(options.get("retention.ms", "-1"))
        return Retention(None if kept_ms < 0 else kept_ms / 1000, compacted)
    # Compaction keeps the last message of each key for ever, and every single change for this long.
    kept_ms = int(options.get("min.compaction.lag.ms", "0"))
    return Retention(kept_ms / 1000 if kept_ms > 0 else None, compacted)
