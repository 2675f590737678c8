"""Who changed what, and when: a topic of records, never compacted, without a limit of age. Nothing rewrites it.

Enters: records of commands that began and ended. Leaves: runs, each a command with its outcome. No row values, no
secrets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from confluent_kafka import KafkaError

from stream.kafka.broker import Broker
from stream.kafka.state_topic import Tail, ensure

Outcome = Literal["started", "succeeded", "refused", "failed", "interrupted"]
OPTIONS = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One message: a command began, or ended.

    Attributes:
        run: the same id in both messages of a command.
        at_ms: milliseconds since 1970.
        who: user@host, or the name that SCORESTREAM_AUDIT_USER gives.
        command: its words, without options.
        options: those that were given, with their values; secrets are hidden.
        exit_code: None while it runs.
        error: first line of the error.
    """

    run: str
    at_ms: int
    who: str
    pid: int
    command: str
    outcome: Outcome
    dry_run: bool = False
    options: dict[str, Any] = {}
    exit_code: int | None = None
    error: str = ""
    version: str = ""


class Run(msgspec.Struct, kw_only=True):
    """A command. `outcome` is `started` while it runs, and for ever when it was killed."""

    began: Record
    ended: Record | None = None

    @property
    def outcome(self) -> Outcome:
        return self.began.outcome if self.ended is None else self.ended.outcome


def write(broker: Broker, record: Record, *, timeout_s: float) -> None:
    """Append one record, and create the topic if it is missing. Returns when the broker has it.

    Raises:
        KafkaUnavailable: no acknowledgement in time, or the brokers refuse it.
    """
    topic = broker.topics.audit
    ensure(broker, topic, OPTIONS, timeout_s=timeout_s)
    failed: list[str] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failed.append(error.str())

    # An idempotent producer takes half a second to get its id; a record that comes twice is read as one.
    limits = {"delivery.timeout.ms": round(timeout_s * 1000), "linger.ms": 0}
    producer = broker.producer({"enable.idempotence": False, "acks": "all"} | limits)
    producer.produce(
        topic, key=record.run.encode(), value=msgspec.json.encode(record), partition=0, on_delivery=delivered
    )
    if producer.flush(2 * timeout_s) or failed:
        raise broker.unavailable(f"topic {topic}", failed[0] if failed else "not acknowledged in time")


def read(broker: Broker, *, since_ms: int = 0) -> list[Run]:
    """All runs that began at this time or later, the oldest first; empty where the topic is missing.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    topic = broker.topics.audit
    if not ensure(broker, topic, OPTIONS, create=False):
        return []
    tail = Tail(broker, topic)
    try:
        messages = [message.value() for message in tail.all()]
    finally:
        tail.close()
    return [each for each in runs(map(_record, filter(None, messages))) if each.began.at_ms >= since_ms]


def runs(records: Iterable[Record]) -> Sequence[Run]:
    """The records of each command, put together. An end without its beginning stands for both."""
    found: dict[str, Run] = {}
    for record in records:
        if record.run not in found:
            found[record.run] = Run(began=record, ended=None if record.outcome == "started" else record)
        elif record.outcome != "started":
            found[record.run].ended = record
    return list(found.values())


def _record(value: bytes) -> Record:
    return msgspec.json.decode(value, type=Record)
