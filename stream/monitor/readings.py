"""What the monitor knows at one moment: the last answer of every source, and since when one does not answer.

Plain values between the reader (stream/monitor/monitor.py) and those that conclude (diagnosis.py, document.py,
exposition.py). Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from stream.connect.rest import ConnectorStatus
from stream.kafka.broker import Retention
from stream.kafka.groups import Group
from stream.kafka.topic_partition import TP
from stream.monitor.canary import Canary
from stream.monitor.customers import Customers
from stream.monitor.lag import LagLimits, PartitionLag
from stream.monitor.sources.processes import Process
from stream.monitor.sources.shards import ShardReading
from stream.monitor.sources.slot import SlotReading
from stream.postgres.table_locks import TableLock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The newest answer (`value`, at `at`), and the error since then, if there is one.

    `slow`: the system answers, and what was asked took longer than its limit.
    """

    name: str
    value: T | None = None
    at: float | None = None
    error: str | None = None
    error_since: float | None = None
    slow: bool = False

    @property
    def ok(self) -> bool:
        return self.at is not None and self.error is None


@dataclass(frozen=True, slots=True)
class DeadLetterReading:
    """The dead-letter topic: how many letters it has, how many came in the last hour, the newest, those not settled."""

    total: int
    last_hour: int
    newest_at: float | None = None
    open: int = 0


@dataclass(frozen=True, slots=True)
class Kafka:
    """The live group. `empty_since`: since when it has no member, Unix seconds."""

    group: Group
    empty_since: float | None
    partitions: Mapping[TP, PartitionLag]
    retention: Mapping[str, Retention]
    dead_letters: DeadLetterReading | None
    cluster: str | None = None  # the brokers' cluster id


@dataclass(frozen=True, slots=True)
class ReplayReading:
    """A replay, by its topic and its group's offsets. `throttled_by` is empty at full speed."""

    name: str
    state: str
    stage: str
    total: int
    done: int
    failed: int
    per_s: float
    eta_s: float | None
    throttled_by: str
    processes: int
    into: str | None
    created: float
    moved_at: float | None
    error: str


@dataclass(frozen=True, slots=True)
class BackfillReading:
    """A backfill, by its topic. Counts are rows of the plan."""

    name: str
    total: int
    done: int
    per_s: float
    eta_s: float | None
    running: bool


@dataclass(frozen=True, slots=True)
class Readings:
    """All readings of one moment."""

    now: float
    started: float
    limits: LagLimits
    group: str
    connector: str
    slot_name: str
    kafka: Answer[Kafka]
    slot: Answer[SlotReading]
    connect: Answer[ConnectorStatus | None]
    shards: tuple[Answer[ShardReading], ...]
    canary: Canary
    locks: tuple[TableLock, ...] = ()  # that keep look-ups out of a source table
    installation: str = "default"
    source: str = ""  # database and schema in Postgres
    clickhouse: str = ""  # database in ClickHouse
    processes: tuple[Process, ...] = ()
    replays: tuple[ReplayReading, ...] = ()
    backfills: tuple[BackfillReading, ...] = ()
    customers: Customers | None = None
    customer_metrics: int = 0  # of how many customers /metrics tells
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def partitions(self) -> Mapping[TP, PartitionLag]:
        return self.kafka.value.partitions if self.kafka.value is not None else {}


def short(topic: str) -> str:
    """The name without schema: `scorestream.app.scores` -> `scores`."""
    return topic.rpartition(".")[2]
