"""The dead-letter topic: letters are produced to it and read from it.

Enters: refused messages. Leaves: acknowledged letters, and letters as they lie in the topic. A letter is never changed
or removed; stream/kafka/settled_letters.py knows which are open. No message goes back to the topic that it came from:
compaction would keep it as the newest of its key, and remove newer ones.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream.errors import Refused
from stream.kafka.broker import Broker
from stream.kafka.ranges import records
from stream.pipeline.dead_letter import DeadLetter, Message, parse

_ANY_BYTES = 1_000_000_000  # librdkafka's own limit counts bytes before compression; the broker decides instead
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter, and its position in the topic."""

    partition: int
    offset: int
    letter: DeadLetter

    def as_json(self, *, with_value: bool = False) -> dict[str, Any]:
        """The letter for `--json`; with the message's content only on demand."""
        at = self.letter.message
        shown: dict[str, Any] = {
            "offset": self.offset,
            "reason": self.letter.reason,
            "error": self.letter.error,
            "topic": at.topic,
            "partition": at.partition,
            "source_offset": at.offset,
            "time": _time(at.timestamp_ms),
            "refused_at": _time(self.letter.refused_at_ms),
            "bytes": self.letter.left_out or len(at.value or b""),
            "left_out": bool(self.letter.left_out),
        }
        if with_value:
            shown["key"] = _text(at.key)
            shown["value"] = _text(at.value)
            shown["headers"] = [[name, _text(value)] for name, value in at.headers]
        return shown


def read(broker: Broker, *, reasons: Sequence[str] = (), topics: Sequence[str] = ()) -> Iterator[Kept]:
    """All matching dead letters up to the present end, oldest first.

    Raises:
        KafkaUnavailable: no broker answered.
    """
    tps = broker.partitions([broker.topics.dead_letters])
    starts, ends = broker.starts(tps), broker.ends(tps)
    ranges = {tp: (starts[tp], ends[tp]) for tp in tps}
    for record in records(broker, ranges, group=f"{broker.topics.prefix}-dead-letters"):
        if (kept := _kept(record)) is not None:
            letter = kept.letter
            if (not reasons or letter.reason in reasons) and (not topics or letter.message.topic in topics):
                yield kept


def _kept(record: Any) -> Kept | None:
    message = Message(
        topic=record.topic(),
        partition=record.partition(),
        offset=record.offset(),
        timestamp_ms=record.timestamp()[1],
        key=record.key(),
        value=record.value(),
        headers=tuple(record.headers() or ()),
    )
    try:
        return Kept(record.partition(), record.offset(), parse(message))
    except Refused:  # another producer's message
        return None


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def _text(value: bytes | None) -> Any:
    """The bytes as JSON or text where they are such, otherwise as hex."""
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"hex": value.hex()}


class DeadLetterProducer:
    """Produces dead letters and waits until the broker has them.

    A letter above the topic's size limit is kept without the message's value. The value stays in the log that it came
    from.
    """

    def __init__(self, broker: Broker, *, timeout_s: float = 30) -> None:
        self._broker = broker
        self._topic = broker.topics.dead_letters
        self._timeout_s = timeout_s
        self._producer = broker.producer(
            {
                "compression.type": "lz4",
                "message.max.bytes": _ANY_BYTES,
                "delivery.timeout.ms": int(timeout_s * 1000),
            }
        )

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send the letters; returns when the broker has acknowledged all of them.

        Raises:
            KafkaUnavailable: no acknowledgement in time; sending again may leave duplicates, never a gap.
        """
        too_large = self._send(letters)
        if too_large:
            log.warning("dead letters kept without their value", extra={"letters": len(too_large)})
            self._send([letter.without_value() for letter in too_large], last=True)

    def _send(self, letters: Sequence[DeadLetter], *, last: bool = False) -> list[DeadLetter]:
        """Send the letters, and return those above the topic's size limit; the broker has acknowledged the others."""
        failed: list[str] = []
        too_large: list[DeadLetter] = []

        def delivered(letter: DeadLetter, error: KafkaError | None, _message: object) -> None:
            if error is None:
                return
            if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and not last:
                too_large.append(letter)
            else:
                failed.append(error.str())

        for letter in letters:
            try:
                self._produce(letter, partial(delivered, letter))
            except KafkaException as error:
                delivered(letter, error.args[0], None)
        left = self._producer.flush(self._timeout_s)
        if left or failed:
            cause = failed[0] if failed else f"{left} not acknowledged within {self._timeout_s:.0f} s"
            raise self._broker.unavailable(f"dead letters to {self._topic}", cause)
        return too_large

    def _produce(self, letter: DeadLetter, delivered: Callable[[KafkaError | None, object], None]) -> None:
        message = letter.message
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=message.key,
                    value=message.value,
                    headers=list(letter.headers),
                    on_delivery=delivered,
                )
            except BufferError:  # librdkafka's queue is full: let it drain
                self._producer.poll(0.1)
            else:
                return

    def close(self) -> None:
        """Close the producer. Nothing is left to send, because `send` waits."""
        self._producer.flush(self._timeout_s)
