"""Dead letters applied: the rows that they name are reindexed as Postgres has them now.

Enters: open letters. Leaves: rows in ClickHouse, and which letters are settled by them. It produces no message:
compaction would keep an old message behind newer ones as the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.errors import Refused
from stream.kafka.dead_letters import Kept
from stream.pipeline.refusal import Refusal, refusal_of
from stream.pipeline.stored import Standing
from stream.postgres.connection import Postgres
from stream.postgres.defining_query import source_of
from stream.postgres.places import PostgresSource
from stream.reindex.job import faulty
from stream.reindex.now import Reindexed, ReindexNow
from stream.tables import CHATS, SOURCES

CHUNK = 1_000  # letters


@dataclass(slots=True)
class Redriven:
    """The result for some letters; counts are letters, but for `scorecards`."""

    matching: int = 0
    settled: int = 0
    unnamed: int = 0  # they name no row, so no reindex can help
    withheld: int = 0  # Postgres still has a value that ClickHouse cannot hold
    scorecards: int = 0


class Rows(Protocol):
    """Postgres, as in stream/postgres/places.py."""

    def owners(self, ids: Sequence[str]) -> dict[str, str]: ...
    def scorecards_of(self, conversations: Sequence[str]) -> list[tuple[str, str, bool]]: ...


class ReindexScorecards(Protocol):
    """As stream/reindex/now.py."""

    def __call__(self, ids: Sequence[str], customers: Iterable[str]) -> Reindexed: ...
    def standing(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]: ...


@dataclass(slots=True)
class _Named:
    """The letters of a chunk that name rows; the messages' values are not kept."""

    letters: list[tuple[tuple[int, int], Refusal, bool]] = field(default_factory=list)  # where, what, of a conversation


def redrive(
    postgres: Postgres,
    reindex: ReindexNow,
    letters: Iterable[Kept],
    settle: Callable[[Sequence[tuple[int, int]]], None],
) -> Redriven:
    """Reindex the scorecards that the letters name, chunk after chunk.

    Args:
        settle: called with the letters of a chunk, by partition and offset, when their rows are in ClickHouse.
    """

    def withheld(ids: Sequence[str]) -> set[str]:
        with postgres.asking() as connection:
            source = source_of(connection, postgres.schema)
            return faulty_of(ids, lambda some: faulty(connection, source, some) > 0)

    return apply(letters, PostgresSource(postgres), reindex, withheld, settle)


def apply(
    letters: Iterable[Kept],
    source: Rows,
    reindex: ReindexScorecards,
    withheld: Callable[[Sequence[str]], set[str]],
    settle: Callable[[Sequence[tuple[int, int]]], None],
) -> Redriven:
    """As `redrive`, with the outside systems given."""
    done = Redriven()
    named = _Named()
    for kept in letters:
        done.matching += 1
        message = kept.letter.message
        table = message.topic.rpartition(".")[2]
        why = Refused(kept.letter.reason, kept.letter.error)
        refusal = refusal_of(table, message.key, message.value, why) if table in SOURCES else Refusal(why)
        if not refusal.ids:
            done.unnamed += 1
            continue
        named.letters.append(((kept.partition, kept.offset), refusal, table == CHATS))
        if len(named.letters) >= CHUNK:
            _chunk(named, source, reindex, withheld, settle, done)
            named = _Named()
    if named.letters:
        _chunk(named, source, reindex, withheld, settle, done)
    return done


def _chunk(
    named: _Named,
    source: Rows,
    reindex: ReindexScorecards,
    withheld: Callable[[Sequence[str]], set[str]],
    settle: Callable[[Sequence[tuple[int, int]]], None],
    done: Redriven,
) -> None:
    conversations = list(dict.fromkeys(i for _, refusal, chat in named.letters if chat for i in refusal.ids))
    of_chat: dict[str, list[str]] = {}
    for conversation, scorecard, _ in source.scorecards_of(conversations) if conversations else ():
        of_chat.setdefault(conversation, []).append(scorecard)
    wanted: list[tuple[tuple[int, int], set[str]]] = []
    customers: set[str] = set()
    anywhere: set[str] = set()
    for where, refusal, chat in named.letters:
        ids = {found for i in refusal.ids for found in of_chat.get(i, [])} if chat else set(refusal.ids)
        wanted.append((where, ids))
        customers |= refusal.customers
        if refusal.anywhere:
            anywhere |= ids
    every = sorted({scorecard for _, ids in wanted for scorecard in ids})
    bad: set[str] = set()
    if every:
        # Postgres has no customer of a deleted scorecard, so its rows are sought under any customer.
        anywhere |= set(every) - source.owners(every).keys()
        if anywhere:
            customers |= {row.key.customer_id for row in reindex.standing(sorted(anywhere), None)}
        reindex(every, customers)
        bad = withheld(every)
    settled = [where for where, ids in wanted if not ids & bad]
    settle(settled)
    done.scorecards += len(every)
    done.settled += len(settled)
    done.withheld += len(wanted) - len(settled)


def faulty_of(ids: Sequence[str], any_of: Callable[[Sequence[str]], bool]) -> set[str]:
    """The ids for which `any_of` holds, found by halving."""
    if not ids or not any_of(ids):
        return set()
    if len(ids) == 1:
        return set(ids)
    half = len(ids) // 2
    return faulty_of(ids[:half], any_of) | faulty_of(ids[half:], any_of)
