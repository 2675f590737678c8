"""A refused message + why -> a dead letter that keeps it whole, and back.

The dead letter has the message's own key, value and headers byte for byte; why it is there stands in headers of its
own, which begin with `scorestream.`.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.errors import Refused

PREFIX = "scorestream."
Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka record: bytes as they are in the log."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, and why it was refused."""

    message: Message
    reason: str
    error: str
    refused_at_ms: int

    @classmethod
    def of(cls, message: Message, refused: Refused, *, now_ms: int) -> DeadLetter:
        return cls(message, refused.reason, refused.error[:1000], now_ms)

    @property
    def headers(self) -> Headers:
        """The message's headers, then why and from where."""
        at = self.message
        own: dict[str, str] = {
            "reason": self.reason,
            "error": self.error,
            "topic": at.topic,
            "partition": str(at.partition),
            "offset": str(at.offset),
            "timestamp_ms": str(at.timestamp_ms),
            "refused_at_ms": str(self.refused_at_ms),
        }
        return (*at.headers, *((PREFIX + name, text.encode()) for name, text in own.items()))


def parse(message: Message) -> DeadLetter:
    """The dead letter that a message of the dead-letter topic is.

    Raises:
        Refused: `no_dead_letter`, when headers are missing.
    """
    # The last of equal names counts: a letter that was refused again carries the headers of both.
    own = {name: value or b"" for name, value in message.headers if name.startswith(PREFIX)}
    kept = tuple((name, value) for name, value in message.headers if not name.startswith(PREFIX))
    try:
        return DeadLetter(
            Message(
                topic=own[PREFIX + "topic"].decode(),
                partition=int(own[PREFIX + "partition"]),
                offset=int(own[PREFIX + "offset"]),
                timestamp_ms=int(own[PREFIX + "timestamp_ms"]),
                key=message.key,
                value=message.value,
                headers=kept,
            ),
            reason=own[PREFIX + "reason"].decode(),
            error=own[PREFIX + "error"].decode(),
            refused_at_ms=int(own[PREFIX + "refused_at_ms"]),
        )
    except (KeyError, ValueError) as error:
        raise Refused("no_dead_letter", f"header {error} is missing or wrong") from error
