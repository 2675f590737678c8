"""Both stores' states of some scorecards, row by row: for the few that differ, and for `scorestream explain`.

Enters: scorecard ids. Leaves: their states in Postgres and the rows that each shard shows, as values to be compared
(stream/verify/findings.py). Columns come as hashes (stream/verify/checksums.py), never as content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stream.clickhouse.shards import Shards
from stream.pipeline.placement import Place, place_of
from stream.pipeline.stored import Key
from stream.postgres.connection import Connection
from stream.postgres.defining_query import SourceSql, micros_of, spellings
from stream.tables import SCORECARD, TARGETS, Table
from stream.verify.checksums import target_hashes

_FINAL = {"do_not_merge_across_partitions_select_final": 1}


@dataclass(frozen=True, slots=True)
class Card:
    """A scorecard in Postgres. Times are microseconds since 1970."""

    place: Place
    scorecard_type: int | None
    conversation_id: str | None
    has_chat: bool
    updated_at_us: int | None
    template_id: str


class SourceRow(NamedTuple):
    """A row of a scorecard or a score in Postgres. `fault`: why ClickHouse cannot hold it, or empty."""

    scorecard_id: int
    hashes: str  # 16 hex digits for each of Table.all_columns
    fault: str


class TargetRow(NamedTuple):
    """A row that a shard shows."""

    key: Key
    event_time_us: int
    is_process: bool
    version: int
    hashes: str


RowId = tuple[str, int]  # target table, id of the row


@dataclass(slots=True)
class InPostgres:
    """Scorecards by id (as an int), and their rows."""

    cards: dict[int, Card] = field(default_factory=dict)
    rows: dict[RowId, SourceRow] = field(default_factory=dict)


def in_postgres(connection: Connection, source: SourceSql, ids: Sequence[str]) -> InPostgres:
    """Scorecards and their rows, of any state.

    It takes several statements: the caller opens a transaction if it wants one.
    """
    found = InPostgres()
    if not ids:
        return found
    kind = source.types[SCORECARD.source, "scorecard_id"]
    ids = spellings(source, ids)
    wanted = f"s.scorecard_id = ANY(%s::{kind}[])"
    link = source.bytes_of(SCORECARD, SCORECARD.placed[1])
    query = (
        f"SELECT {link}, {source.customer}, s.scorecard_type::int, {source.process}, {micros_of(source.time)}, "
        f"s.conversation_id::text, c.conversation_id IS NOT NULL, {micros_of('s.updated_at')}, s.template_id::text "
        f"FROM {source.joined(SCORECARD)} WHERE {wanted}"
    )
    for (
        scorecard,
        customer,
        type_,
        process,
        time_us,
        conversation,
        has_chat,
        updated_us,
        template,
    ) in connection.execute(query.encode(), (list(ids),)):
        place = place_of(customer_id=customer, scorecard_type=type_, process=process, event_time_us=time_us)
        found.cards[int.from_bytes(scorecard)] = Card(
            place, type_, conversation or None, has_chat, updated_us, template
        )
    for table in TARGETS:
        query = (
            f"SELECT {source.id_of(table)}, {link}, {source.hashes_of(table)}, {source.faults_of(table)} "
            f"FROM {source.joined(table)} WHERE {wanted}"
        )
        for row, scorecard, hashes, fault in connection.execute(query.encode(), (list(ids),)):
            found.rows[table.target, int.from_bytes(row)] = SourceRow(int.from_bytes(scorecard), hashes, fault)
    return found


def shown(shards: Shards, ids: Sequence[str], customers: Sequence[str]) -> list[TargetRow]:
    """The rows of these scorecards under these customers, on every shard and in every ClickHouse partition."""
    found: list[TargetRow] = []
    if not ids or not customers:
        return found
    values = {"ids": tuple(ids), "customers": tuple(customers)}
    for table in TARGETS:
        query = (
            f"SELECT toString(customer_id), scorecard_id, {table.id}, toUnixTimestamp64Micro(event_time), "
            f"is_process, _version, {target_hashes(table)} FROM {{database}}.{table.target} FINAL "
            "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s"
        )
        for shard, customer, scorecard, row, time_us, process, version, hashes in shards.everywhere(
            query, values, settings=_FINAL
        ):
            key = Key(shard, table.target, customer, scorecard.int, row.int, time_us)
            found.append(TargetRow(key, time_us, bool(process), version, hashes))
    return found


def columns_that_differ(table: Table, one: str, other: str) -> list[str]:
    """Names of the columns whose hashes differ."""
    return [
        column.name
        for at, column in enumerate(table.all_columns)
        if one[16 * at : 16 * at + 16] != other[16 * at : 16 * at + 16]
    ]
