"""A refused message + why -> a dead letter that keeps it whole, and back.

The dead letter has the message's own key, value and headers byte for byte. Headers that begin with `scorestream.` say
why the message was refused, and what was done in its place. The guard stops a worker when too many messages are
refused: then the schema has changed, and the messages are not to blame.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from stream.errors import Refused, TooManyDeadLetters

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
    applied: str = ""  # what was done in its place (stream/pipeline/refusal.py); letters of older versions lack it
    left_out: int = 0  # size of the message's value in bytes, where the letter was too large to keep it

    @classmethod
    def of(cls, message: Message, refused: Refused, *, now_ms: int, applied: str = "") -> DeadLetter:
        return cls(message, refused.reason, refused.error[:1000], now_ms, applied)

    def without_value(self) -> DeadLetter:
        """The letter without the message's value, for a topic that does not take it. The log still has the value."""
        return replace(self, message=replace(self.message, value=None), left_out=len(self.message.value or b""))

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
            "applied": self.applied,
        }
        if self.left_out:
            own["left_out"] = str(self.left_out)
        return (*at.headers, *((PREFIX + name, text.encode()) for name, text in own.items()))


def parse(message: Message) -> DeadLetter:
    """Read a dead letter from a message of the dead-letter topic.

    Raises:
        Refused: `no_dead_letter`, when headers are missing.
    """
    # The last of equal names counts: a letter that was refused again carries both sets of headers.
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
            applied=own.get(PREFIX + "applied", b"").decode(),
            left_out=int(own.get(PREFIX + "left_out", b"0")),
        )
    except (KeyError, ValueError) as error:
        raise Refused("no_dead_letter", f"header {error} is missing or wrong") from error


class DeadLetterGuard:
    """Watches the share of refused messages among the latest messages.

    Args:
        share: above it the process stops.
        window: number of messages that count; with fewer than that nothing stops.
    """

    def __init__(self, *, share: float, window: int) -> None:
        self._share = share
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._messages = 0
        self._refused = 0

    def add(self, topic: str, *, messages: int, refused: int) -> None:
        """Count a batch before its dead letters are produced.

        Raises:
            TooManyDeadLetters: the text has the share and the way out.
        """
        self._batches.append((messages, refused))
        self._messages += messages
        self._refused += refused
        while self._messages - self._batches[0][0] >= self._window:
            gone, gone_refused = self._batches.popleft()
            self._messages -= gone
            self._refused -= gone_refused
        if self._messages >= self._window and self._refused > self._share * self._messages:
            raise TooManyDeadLetters(
                f"{topic}: {self._refused} of the last {self._messages} messages were refused; "
                "this batch is left in the log. See the log and `scorestream dead-letters list` for the reasons, "
                "correct the source or the connector, then start the worker again (or raise "
                "SCORESTREAM_BATCH_DEAD_LETTER_SHARE)"
            )
