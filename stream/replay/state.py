"""Replays in Kafka: a compacted topic with each replay's plan, passes, heartbeats and result.

Enters: settings. Leaves: what the topic says, as values of stream/replay/plan.py. Keys are `<name>/<what>`; every key
has one writer (or one at a time, under a lock), so the last value of a key is the truth. Progress is not here: that is
the committed offsets of the replay's group.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream.config import Settings
from stream.errors import KafkaUnavailable, UsageError
from stream.kafka.client import arrived, client_options
from stream.replay.plan import Control, Heartbeat, Pass, Plan, Result

_TIMEOUT_S = 20.0
T = TypeVar("T")


@dataclass(slots=True)
class Replay:
    """All that is known of one replay."""

    plan: Plan
    passes: list[Pass] = field(default_factory=list)
    control: Control = field(default_factory=Control)
    result: Result | None = None
    members: dict[str, Heartbeat] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)  # of others, such as the cutover

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def rate(self) -> int | None:
        """Messages/s that all processes together may do at most; None = no ceiling."""
        return self.plan.rate if self.control.rate is None else self.control.rate or None

    def alive(self, *, within_s: float = 15.0) -> list[Heartbeat]:
        """The processes that work on it now, for all we know."""
        since = time.time() * 1000 - within_s * 1000
        return [beat for beat in self.members.values() if not beat.ended and beat.at_ms >= since]

    @property
    def state(self) -> str:
        """running, pausing, paused, cancelled, done, failed, or stopped: not done, and nobody works on it."""
        if self.result is not None:
            return self.result.state
        alive = bool(self.alive())
        if self.control.wanted == "paused":
            return "pausing" if alive else "paused"
        if self.control.wanted == "cancelled":
            return "cancelled"
        return "running" if alive else "stopped"


def topic_of(settings: Settings) -> str:
    """The topic of all replays."""
    return f"{settings.kafka.topic_prefix}.replays"


def group_of(settings: Settings, name: str) -> str:
    """The consumer group of a replay."""
    return f"{settings.kafka.topic_prefix}-replay-{name}"


class ReplayTopic:
    """Reads and writes the topic; makes it when it is missing. `with`-able, for one thread.

    Every method raises KafkaUnavailable when the brokers do not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topic_of(settings)
        options = client_options(settings.kafka) | {"log_level": 2}
        self._producer = Producer(options | {"enable.idempotence": True, "delivery.timeout.ms": 30_000})
        self._consumer = Consumer(
            options
            | {
                "group.id": f"scorestream-replays-{uuid.uuid4().hex[:8]}",  # never joined, never committed
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        self._values: dict[str, bytes] = {}
        self._options = options
        self._ensure()
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])

    def refresh(self) -> dict[str, Replay]:
        """All replays by name, as the topic has them now."""
        end = self._end()
        deadline = time.monotonic() + _TIMEOUT_S
        position = self._position()
        while position < end:
            for message in arrived(self._consumer, 1_000, timeout_s=0.5):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        position = max(position, message.offset())
                        continue
                    raise KafkaUnavailable(f"topic {self._topic}: {error.str()}")
                position = message.offset() + 1
                key = (message.key() or b"").decode()
                if message.value() is None:
                    self._values.pop(key, None)
                else:
                    self._values[key] = message.value()
            if time.monotonic() > deadline:
                raise KafkaUnavailable(f"topic {self._topic} did not answer within {_TIMEOUT_S:.0f} s")
        self._at = position
        return _replays(self._values)

    def get(self, name: str) -> Replay:
        """One replay.

        Raises:
            UsageError: there is none of this name.
        """
        replays = self.refresh()
        if name not in replays:
            there = ", ".join(sorted(replays)) or "none"
            raise UsageError(f"there is no replay {name!r}; there are: {there} (`scorestream replay list`)")
        return replays[name]

    def put(self, values: Mapping[str, Any]) -> None:
        """Write values by key (`<name>/<what>`); None removes. Returns when the broker has them all."""
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failed.append(error.str())

        for key, value in values.items():
            body = None if value is None else msgspec.json.encode(value)
            self._producer.produce(self._topic, key=key.encode(), value=body, partition=0, on_delivery=delivered)
        left = self._producer.flush(_TIMEOUT_S)
        if left or failed:
            raise KafkaUnavailable(f"topic {self._topic}: {failed[0] if failed else 'not acknowledged in time'}")

    def forget(self, name: str) -> None:
        """Remove all of a replay."""
        self.refresh()
        self.put({key: None for key in self._values if key.startswith(name + "/")})

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    _at: int = 0

    def _position(self) -> int:
        return self._at

    def _end(self) -> int:
        try:
            marks = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaUnavailable(f"topic {self._topic}: {error.args[0].str()}") from error
        if marks is None:
            raise KafkaUnavailable(f"topic {self._topic} did not answer within {_TIMEOUT_S:.0f} s")
        return int(marks[1])

    def _ensure(self) -> None:
        admin = AdminClient(self._options)
        try:
            if self._topic in admin.list_topics(timeout=_TIMEOUT_S).topics:
                return
            topic = NewTopic(
                self._topic,
                num_partitions=1,
                replication_factor=self._settings.kafka.replication_factor,
                config={"cleanup.policy": "compact"},
            )
            admin.create_topics([topic], operation_timeout=_TIMEOUT_S)[self._topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailable(f"topic {self._topic}: {error.args[0].str()}") from error


def _replays(values: Mapping[str, bytes]) -> dict[str, Replay]:
    replays = {
        key.removesuffix("/plan"): Replay(msgspec.json.decode(value, type=Plan))
        for key, value in values.items()
        if key.endswith("/plan")
    }
    for key, value in sorted(values.items()):
        name, _, what = key.partition("/")
        replay = replays.get(name)
        if replay is None:
            continue
        kind, _, rest = what.partition("/")
        if kind == "pass":
            replay.passes.append(msgspec.json.decode(value, type=Pass))
        elif kind == "control":
            replay.control = msgspec.json.decode(value, type=Control)
        elif kind == "result":
            replay.result = msgspec.json.decode(value, type=Result)
        elif kind == "member":
            replay.members[rest] = msgspec.json.decode(value, type=Heartbeat)
        elif kind == "note":
            replay.notes[rest] = msgspec.json.decode(value)
    return replays
