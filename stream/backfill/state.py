"""Backfills in Kafka: a compacted topic with plan, orders and finished steps of each; and Debezium's notifications.

Enters: settings. Leaves: what the topics say. Keys are `<name>/plan|control|signal|driver|result` and
`<name>/step/<number>`. The driver, of which a lock in Postgres allows one, writes all but `control`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream.backfill.notifications import Notification, parse
from stream.backfill.plan import Plan
from stream.config import Settings
from stream.errors import KafkaUnavailable, UsageError
from stream.kafka.client import client_options

_TIMEOUT_S = 20.0
_ALIVE_S = 10.0  # a driver that has not been heard of for so long is gone


class Control(msgspec.Struct, frozen=True):
    """What the operator wants of it."""

    wanted: Literal["run", "pause", "stop"] = "run"
    at_ms: int = 0


class Signal(msgspec.Struct, frozen=True):
    """The last signal; notifications about it are behind `offset` of their topic."""

    step: int
    attempt: int
    offset: int
    at_ms: int


class Driver(msgspec.Struct, frozen=True):
    """The process that sends one signal after another; `ended` when it has left."""

    host: str
    pid: int
    at_ms: int
    ended: bool = False


class Done(msgspec.Struct, frozen=True):
    """A finished step."""

    rows: int
    seconds: float
    at_ms: int


class Result(msgspec.Struct, frozen=True):
    """The backfill is over."""

    rows: int
    at_ms: int


@dataclass(slots=True)
class Backfill:
    """All that the topic has of one backfill."""

    plan: Plan
    control: Control = field(default_factory=Control)
    signal: Signal | None = None
    driver: Driver | None = None
    done: dict[int, Done] = field(default_factory=dict)  # by the number of the step
    result: Result | None = None

    @property
    def driven(self) -> bool:
        """A process works on it, for all that is known."""
        since = time.time() - _ALIVE_S
        return self.driver is not None and not self.driver.ended and self.driver.at_ms / 1000 >= since


class Tail:
    """The messages of partition 0 of a topic behind an offset, as far as there are any. For one thread.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, settings: Settings, topic: str, *, offset: int = 0) -> None:
        self._topic = topic
        self._at = offset
        self._consumer = Consumer(
            client_options(settings.kafka)
            | {
                "group.id": f"scorestream-backfill-{uuid.uuid4().hex[:8]}",  # never joined, never committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                "log_level": 2,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, offset)])

    def end(self) -> int:
        """The offset of the next message that comes."""
        try:
            marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"topic {self._topic}: {error.args[0].str()}") from error
        return int(marks[1])

    def poll(self, timeout_s: float) -> list[Any]:
        """What has come; waits for the first message so long, for no further one."""
        found: list[Any] = []
        deadline = time.monotonic() + timeout_s
        batch = [self._consumer.poll(timeout_s)]
        while batch:
            for message in batch:
                error = None if message is None else message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaUnavailable(f"topic {self._topic}: {error.str()}")
                    self._at = max(self._at, message.offset())
                elif message is not None:
                    self._at = message.offset() + 1
                    found.append(message)
            left_s = deadline - time.monotonic()
            # Ends of the partition are told, too: they are not what is waited for.
            batch = self._consumer.consume(1_000, 0) if found or left_s <= 0 else [self._consumer.poll(left_s)]
        return found

    def all(self) -> Iterator[Any]:
        """Everything up to the present end."""
        end, deadline = self.end(), time.monotonic() + _TIMEOUT_S
        while self._at < end:
            messages = self.poll(0.05)
            yield from messages
            if messages:
                deadline = time.monotonic() + _TIMEOUT_S
            elif time.monotonic() > deadline:
                raise KafkaUnavailable(f"topic {self._topic} did not answer within {_TIMEOUT_S:.0f} s")

    def close(self) -> None:
        self._consumer.close()


class Notifications:
    """Debezium's notifications of incremental snapshots, from an offset on."""

    def __init__(self, settings: Settings, *, offset: int) -> None:
        self._tail = Tail(settings, settings.notifications_topic, offset=offset)

    def end(self) -> int:
        return self._tail.end()

    def poll(self, timeout_s: float) -> list[Notification]:
        return [note for message in self._tail.poll(timeout_s) if (note := parse(message.value())) is not None]

    def all(self) -> list[Notification]:
        return [note for message in self._tail.all() if (note := parse(message.value())) is not None]

    def close(self) -> None:
        self._tail.close()


class BackfillTopic:
    """Reads and writes the topic; makes it when it is missing. `with`-able, for one thread.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = f"{settings.kafka.topic_prefix}.backfills"
        options = client_options(settings.kafka) | {"log_level": 2}
        self._producer = Producer(options | {"enable.idempotence": True, "delivery.timeout.ms": 30_000})
        self._values: dict[str, bytes] = {}
        self._ensure(options, settings.kafka.replication_factor)
        self._tail = Tail(settings, self._topic)

    def refresh(self) -> dict[str, Backfill]:
        """All backfills by name, the oldest first, as the topic has them now."""
        for message in self._tail.all():
            key = (message.key() or b"").decode()
            if message.value() is None:
                self._values.pop(key, None)
            else:
                self._values[key] = message.value()
        found = _backfills(self._values)
        return dict(sorted(found.items(), key=lambda each: each[1].plan.created_ms))

    def get(self, name: str) -> Backfill:
        """One backfill.

        Raises:
            UsageError: there is none of this name.
        """
        found = self.refresh()
        if name not in found:
            raise UsageError(f"there is no backfill {name!r}; there are: {', '.join(found) or 'none'}")
        return found[name]

    def put(self, values: Mapping[str, Any]) -> None:
        """Write values by key. Returns when the broker has them all."""
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failed.append(error.str())

        for key, value in values.items():
            self._producer.produce(
                self._topic, key=key.encode(), value=msgspec.json.encode(value), partition=0, on_delivery=delivered
            )
        left = self._producer.flush(_TIMEOUT_S)
        if left or failed:
            raise KafkaUnavailable(f"topic {self._topic}: {failed[0] if failed else 'not acknowledged in time'}")

    def close(self) -> None:
        self._tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _ensure(self, options: Mapping[str, Any], replication_factor: int) -> None:
        admin = AdminClient(dict(options))
        try:
            if self._topic in admin.list_topics(timeout=_TIMEOUT_S).topics:
                return
            topic = NewTopic(
                self._topic,
                num_partitions=1,
                replication_factor=replication_factor,
                config={"cleanup.policy": "compact"},
            )
            admin.create_topics([topic], operation_timeout=_TIMEOUT_S)[self._topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailable(f"topic {self._topic}: {error.args[0].str()}") from error


def _backfills(values: Mapping[str, bytes]) -> dict[str, Backfill]:
    found = {
        key.removesuffix("/plan"): Backfill(msgspec.json.decode(value, type=Plan))
        for key, value in values.items()
        if key.endswith("/plan")
    }
    for key, value in values.items():
        name, _, what = key.partition("/")
        backfill = found.get(name)
        if backfill is None:
            continue
        match what.partition("/"):
            case ("control", _, _):
                backfill.control = msgspec.json.decode(value, type=Control)
            case ("signal", _, _):
                backfill.signal = msgspec.json.decode(value, type=Signal)
            case ("driver", _, _):
                backfill.driver = msgspec.json.decode(value, type=Driver)
            case ("result", _, _):
                backfill.result = msgspec.json.decode(value, type=Result)
            case ("step", _, number):
                backfill.done[int(number)] = msgspec.json.decode(value, type=Done)
    return found
