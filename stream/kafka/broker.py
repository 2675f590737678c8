"""Kafka as a store: opened once at the edge and handed down. It alone says what librdkafka's errors mean.

Enters: the settings' `kafka` section and the names of the topics. Leaves: clients that are ready to use, and what the
brokers say about topics, offsets and groups, as plain values. It joins no group and commits nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec, ResourceType

from stream.errors import KafkaUnavailable
from stream.kafka import groups as kafka_groups
from stream.kafka.client import client_options, credentials
from stream.kafka.groups import Group
from stream.kafka.next_messages import READER_OPTIONS, Next, NextMessages
from stream.kafka.topic_partition import TP
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames

# A request ended by one of these without a word on the cause, which librdkafka tells beside it.
_NO_CONNECTION = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
)


class PartitionOffsets(NamedTuple):
    """Offsets of one partition. `committed` is None when the group never committed one."""

    start: int
    end: int
    committed: int | None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a topic keeps a message (seconds), and what is gone afterwards. None = for ever."""

    seconds: float | None
    compacted: bool


class Broker:
    """The brokers of the settings. `with`-able, for one thread; it opens its own clients when they are first needed.

    Clients that `consumer` and `producer` make belong to the caller, who closes them.

    Args:
        topics: names of this installation's topics.
        timeout_s: limit of one request.

    Every method that asks raises KafkaUnavailable when no broker answers within `timeout_s`.
    """

    def __init__(self, settings: KafkaSettings, topics: TopicNames, *, timeout_s: float = 5) -> None:
        self.settings = settings
        self.topics = topics
        self._timeout_s = timeout_s
        self._heard = ""  # what librdkafka said last of a connection
        self._groups: dict[str, Consumer] = {}
        self._starts: dict[TP, int] = {}
        self._next = NextMessages(self._reader)
        self._credentials = credentials(settings)

    @property
    def _options(self) -> dict[str, str | int]:
        return client_options(self.settings)

    @property
    def _own_options(self) -> dict[str, Any]:
        return self._options | {"reconnect.backoff.max.ms": 2000, "error_cb": self._hear}

    @property
    def live_group(self) -> str:
        """Consumer group of the live workers."""
        return self.settings.group

    @cached_property
    def admin(self) -> AdminClient:
        """For requests about topics and groups."""
        return AdminClient(self._own_options)

    def consumer(self, group: str, options: Mapping[str, Any] | None = None) -> Consumer:
        """A consumer that commits nothing by itself; the caller closes it.

        Args:
            group: whose offsets it may read and commit. It joins the group only where the caller subscribes.
        """
        own = {"group.id": group, "enable.auto.commit": False, "enable.auto.offset.store": False}
        return Consumer(self._options | own | dict(options or {}))

    def producer(self, options: Mapping[str, Any] | None = None) -> Producer:
        """An idempotent producer; the caller flushes it."""
        return Producer(self._options | {"enable.idempotence": True} | dict(options or {}))

    def close(self) -> None:
        """Close the clients that this store opened for itself."""
        groups, self._groups = self._groups, {}
        for client in groups.values():
            client.close()
        self._next.close()

    def partitions(self, topics: Iterable[str]) -> list[TP]:
        """All partitions of these topics. Topics that do not exist are left out."""
        wanted = set(topics)
        with self.asking():
            found = self.admin.list_topics(timeout=self._timeout_s)
        return [
            TP(name, number)
            for name, topic in sorted(found.topics.items())
            if name in wanted and topic.error is None
            for number in sorted(topic.partitions)
        ]

    def source_partitions(self) -> list[TP]:
        """All partitions of the source tables' topics."""
        return self.partitions(self.topics.sources)

    def cluster_id(self) -> str | None:
        """The id of the cluster, which no other cluster has."""
        with self.asking():
            found: str | None = self.admin.list_topics(timeout=self._timeout_s).cluster_id
        return found

    def ends(self, tps: Sequence[TP]) -> dict[TP, int]:
        """The offset after the last message that readers of committed transactions see."""
        return self._list_offsets(tps, OffsetSpec.latest())

    def starts(self, tps: Sequence[TP]) -> dict[TP, int]:
        """The first offset that the log still has."""
        return self._list_offsets(tps, OffsetSpec.earliest())

    def offsets_at(self, tps: Sequence[TP], at_ms: int) -> dict[TP, int]:
        """The first offset of each partition whose message has this time (of the record) or a later one.

        Partitions without such a message are missing.
        """
        consumer = self.consumer("scorestream-times")
        try:
            with self.asking("offsets by time"):
                answer = consumer.offsets_for_times([TopicPartition(*tp, at_ms) for tp in tps], timeout=20)
        finally:
            consumer.close()
        return {TP(a.topic, a.partition): a.offset for a in answer if a.error is None and a.offset >= 0}

    def committed(self, group: str, tps: Sequence[TP]) -> dict[TP, int]:
        """Committed offsets. Partitions without one are missing."""
        # A consumer that never subscribes joins no group. (AdminClient.list_consumer_group_offsets kills the process by
        # a segmentation fault while the coordinator of the group is loading, as of confluent-kafka 2.16.)
        if group not in self._groups:
            self._groups[group] = Consumer(self._own_options | {"group.id": group, "enable.auto.commit": False})
        with self.asking():
            answer = self._groups[group].committed([TopicPartition(*tp) for tp in tps], timeout=self._timeout_s)
        return {
            TP(each.topic, each.partition): each.offset for each in answer if each.error is None and each.offset >= 0
        }

    def offsets(self, group: str, tps: Sequence[TP], *, refresh_starts: bool = True) -> dict[TP, PartitionOffsets]:
        """Start, end and committed offset of each partition.

        Ends are read first. A commit that comes afterwards covers them, so the lag is never overstated.
        """
        ends = self.ends(tps)
        committed = self.committed(group, tps)
        if refresh_starts or any(tp not in self._starts for tp in tps):
            self._starts |= self.starts(tps)
        return {
            tp: PartitionOffsets(start=min(self._starts[tp], end), end=end, committed=committed.get(tp))
            for tp, end in ends.items()
        }

    def group(self, name: str) -> Group:
        """Members of the group and their partitions. A group that does not exist is DEAD."""
        with self.asking():
            return kafka_groups.describe(self.admin, name, timeout_s=self._timeout_s)

    def delete_group(self, name: str) -> None:
        """Delete a group with its committed offsets. A group that does not exist is no error.

        Raises:
            KafkaUnavailable: no broker answers, or the group has members.
        """
        with self.asking():
            try:
                self.admin.delete_consumer_groups([name], request_timeout=4 * self._timeout_s)[name].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise

    def retention(self, topics: Sequence[str]) -> dict[str, Retention]:
        """How long the topics keep a message, by their options."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        if not resources:
            return {}
        with self.asking():
            futures = self.admin.describe_configs(resources, request_timeout=self._timeout_s)
            answers = {resource.name: future.result() for resource, future in futures.items()}
        return {
            name: _retention({key: entry.value for key, entry in options.items()}) for name, options in answers.items()
        }

    def next_messages(self, wanted: Mapping[TP, tuple[int, int]]) -> dict[TP, Next]:
        """For each partition's (offset, end): the next message that exists at or after the offset."""
        with self.asking():
            return self._next(wanted)

    def unavailable(self, what: str, error: KafkaException | KafkaError | str) -> KafkaUnavailable:
        """The error of a request that failed: it names the brokers, what was asked, and librdkafka's reason."""
        cause = error.args[0] if isinstance(error, KafkaException) else error
        text = cause.str() if isinstance(cause, KafkaError) else str(cause)
        if isinstance(cause, KafkaError) and cause.code() in _NO_CONNECTION and (why := self._why()):
            text = f"{text} ({why})"
        return KafkaUnavailable(": ".join(filter(None, (f"Kafka at {self.settings.bootstrap_servers}", what, text))))

    def _hear(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._heard = " ".join(error.str().split())

    def _why(self) -> str:
        """Why there is no connection: a refused certificate, password or permission, or nobody listens."""
        if "admin" in self.__dict__:
            self.admin.poll(0)
        for group, client in self._groups.items():
            message = client.poll(0)
            if message is not None and (error := message.error()) is not None:
                self._heard = f"group {group}: {error.str()}"
        heard, self._heard = self._heard, ""
        return heard

    @contextmanager
    def asking(self, what: str = "") -> Iterator[None]:
        """Turn librdkafka's errors into those of the package. Rotated credentials count from the next request on.

        Raises:
            KafkaUnavailable: naming the brokers and what was asked.
        """
        try:
            yield
        except KafkaException as error:
            unavailable = self.unavailable(what, error)  # before the clients that know the cause are closed
            self._reopen_when_rotated()
            raise unavailable from error

    def _reopen_when_rotated(self) -> None:
        """Close the clients whose credentials are old; the next request opens others."""
        found = credentials(self.settings)
        if found != self._credentials:
            self._credentials = found
            self.close()
            self.__dict__.pop("admin", None)
            self._next = NextMessages(self._reader)

    def _reader(self) -> Consumer:
        """For single messages; its group is never joined, and nothing is committed."""
        own = {"group.id": f"scorestream-lag-{uuid.uuid4().hex[:8]}", "enable.auto.commit": False}
        return Consumer(self._own_options | own | {"enable.auto.offset.store": False} | READER_OPTIONS)

    def _list_offsets(self, tps: Sequence[TP], spec: OffsetSpec) -> dict[TP, int]:
        if not tps:
            return {}
        wanted = {TopicPartition(*tp): spec for tp in tps}
        with self.asking():
            futures = self.admin.list_offsets(
                wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._timeout_s
            )
            return {TP(tp.topic, tp.partition): future.result().offset for tp, future in futures.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _retention(options: Mapping[str, str]) -> Retention:
    policies = options.get("cleanup.policy", "delete").split(",")
    compacted = "compact" in policies
    if "delete" in policies:
        kept_ms = int(options.get("retention.ms", "-1"))
        return Retention(None if kept_ms < 0 else kept_ms / 1000, compacted)
    # Compaction keeps the last message of each key for ever, and every single change for this long.
    kept_ms = int(options.get("min.compaction.lag.ms", "0"))
    return Retention(kept_ms / 1000 if kept_ms > 0 else None, compacted)
