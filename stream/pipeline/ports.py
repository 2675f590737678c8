"""The outside systems as the pipeline sees them: what it asks of each, and which errors each may raise.

Protocols only: no client is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from stream.pipeline.dead_letter import DeadLetter
from stream.pipeline.pieces import Piece
from stream.pipeline.placement import Place
from stream.pipeline.stored import Snapshot, Standing, StandingPlace
from stream.pipeline.writes import Writes

T = TypeVar("T")


class Source(Protocol):
    """Postgres, for facts that changes do not carry. Raises PostgresUnavailable."""

    def expect(self, transactions: Collection[int]) -> None:
        """Return when look-ups see all these transactions (stream/pipeline/visibility.py)."""
        ...

    def is_primary(self) -> bool:
        """Whether look-ups see all that any other process has seen; a standby may be behind another one."""
        ...

    def position(self) -> int:
        """Where the WAL ends, in bytes: every change that was streamed lies before it (stream/pipeline/ahead.py)."""
        ...

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        """The present place of each scorecard. Scorecards that Postgres does not have are missing."""
        ...

    def moved(self, expected: Mapping[str, Place], looked: Mapping[str, Place]) -> dict[str, Place]:
        """The present places of the scorecards that are not in their expected places; GONE is a place.

        `looked`: the result of an earlier `places`, which may save a look at rows that nobody has written since.
        """
        ...

    def scorecards_of(self, conversations: Sequence[str]) -> list[tuple[str, str, bool]]:
        """(conversation id, scorecard id, covered) of all scorecards of these conversations.

        `covered`: the conversation's own transaction, or one that began after it, wrote the scorecard and all its
        scores last.
        """
        ...

    def lacking(self, scores: Sequence[str], scorecards: Sequence[str]) -> list[int]:
        """Indexes of the scores that do not stand in the scorecard at the same index, or nowhere."""
        ...

    def spelled(self, ids: Sequence[str]) -> list[str]:
        """These ids, canonical UUIDs, as Postgres spells them: a text column may hold another spelling."""
        ...

    def snapshot(self, ids: Sequence[str], *, piece: Piece | None = None, most: int | None = None) -> Snapshot:
        """These scorecards with their scores, as of one moment.

        `piece`: only the rows of this piece; the places are whole. `most`: only this many rows of each table.
        """
        ...

    def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """How many rows each of these scorecards has, scores and its own. Scorecards without any are missing."""
        ...


class Target(Protocol):
    """ClickHouse. Raises ClickHouseUnavailable, WriteMismatch."""

    def write(self, writes: Writes) -> None:
        """Returns when all shards have acknowledged all rows."""
        ...

    def standing(
        self,
        ids: Sequence[str],
        customers: Sequence[str] | None,
        *,
        piece: Piece | None = None,
        most: int | None = None,
    ) -> list[Standing]:
        """The rows of these scorecards that are visible on any shard, in any ClickHouse partition.

        `customers`: customers under which they may stand; None: under any, which costs more. `piece`: only the rows of
        this piece. `most`: only this many rows of each shard.
        """
        ...

    def standing_places(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[StandingPlace]:
        """Where `standing` would find rows: few results, regardless of how many rows there are."""
        ...

    def written(self, versions: Collection[int]) -> list[tuple[str, str, int]]:
        """(scorecard id, customer id, version) of the rows of both tables that have one of these versions.

        It reads whole columns, to find the rows that a crashed worker may have left.
        """
        ...


class DeadLetters(Protocol):
    """The dead-letter topic. Raises KafkaUnavailable."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when the broker has acknowledged them all."""
        ...


class Retrying(Protocol):
    """Calls a step until it succeeds; lets through the errors that must stop the process."""

    def __call__(self, step: Callable[[], T], /) -> T: ...


def no_retry(step: Callable[[], T], /) -> T:
    """Call the step once."""
    return step()
