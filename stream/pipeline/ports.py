"""The outside systems as the pipeline sees them: what it asks of each, and which errors each may raise.

Protocols only: no client is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from stream.pipeline.dead_letter import DeadLetter, Message
from stream.pipeline.placement import Place
from stream.pipeline.reindex import Snapshot, Standing
from stream.pipeline.writes import Writes

T = TypeVar("T")


class Fetched(Protocol):
    """Messages of one partition, as a driver has them."""

    topic: str
    partition: int

    @property
    def values(self) -> Sequence[bytes | None]: ...
    @property
    def keys(self) -> Sequence[bytes | None]: ...
    def message(self, index: int) -> Message:
        """The message whole, for a dead letter."""
        ...


class Source(Protocol):
    """Postgres, for what changes do not carry. Raises PostgresUnavailable."""

    def expect(self, transactions: Collection[int]) -> None:
        """Return when look-ups see all these transactions (stream/pipeline/visibility.py)."""
        ...

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        """The present place of each scorecard; those not in Postgres are missing."""
        ...

    def moved(self, expected: Mapping[str, Place], looked: Mapping[str, Place]) -> dict[str, Place]:
        """The present places of the scorecards that are not where they are expected; GONE is one.

        `looked`: what `places` has returned before, which may save a look at what has not been written since.
        """
        ...

    def scorecards_of(self, conversations: Sequence[str]) -> list[tuple[str, str, bool]]:
        """(conversation id, scorecard id, covered) of all scorecards of these conversations.

        `covered`: last written, with all scores, by the conversation's own transaction or by ones that began after it.
        """
        ...

    def snapshot(self, ids: Sequence[str]) -> Snapshot:
        """These scorecards with their scores, as of one moment."""
        ...


class Target(Protocol):
    """ClickHouse. Raises ClickHouseUnavailable, WriteMismatch."""

    def write(self, writes: Writes) -> None:
        """Returns when all shards have acknowledged all rows."""
        ...

    def standing(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]:
        """The rows of these scorecards that are visible on any shard, in any ClickHouse partition.

        `customers`: under which they may stand; None: under any, which costs more.
        """
        ...

    def written(self, versions: Collection[int]) -> list[tuple[str, str, int]]:
        """(scorecard id, customer id, version) of the rows of both tables that stand with one of these versions.

        Reads whole columns: for what a predecessor that died may have left.
        """
        ...


class DeadLetters(Protocol):
    """The dead-letter topic. Raises KafkaUnavailable."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when the broker has acknowledged them all."""
        ...


class Retrying(Protocol):
    """Calls a step until it succeeds; lets through what must stop the process."""

    def __call__(self, step: Callable[[], T], /) -> T: ...


def no_retry(step: Callable[[], T], /) -> T:
    """Call the step once."""
    return step()
