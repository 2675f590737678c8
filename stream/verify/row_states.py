"""What both stores have of some scorecards, row by row: for the few that differ, and for `scorestream explain`.

Enters: scorecard ids. Leaves: their states in Postgres and the rows that each shard shows, as values to be compared
(stream/verify/findings.py). Columns come as hashes (stream/verify/checksums.py), never as content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stream.clickhouse.shards import connect, patient, shard_error
from stream.pipeline.placement import Place, place_of
from stream.pipeline.writes import Key
from stream.postgres.connection import Connection
from stream.postgres.defining_query import Source, _spellings
from stream.sections import ClickHouseSettings
from stream.tables import SCORECARD, TARGETS, Table
from stream.verify.checksums import target_hashes

_SETTINGS = {"do_not_merge_across_partitions_select_final": 1, "max_query_size": 16 << 20}


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
    """By scorecard id (as an int), and by row."""

    cards: dict[int, Card] = field(default_factory=dict)
    rows: dict[RowId, SourceRow] = field(default_factory=dict)


def in_postgres(connection: Connection, source: Source, ids: Sequence[str]) -> InPostgres:
    """Scorecards and their rows, of any state; several statements: the caller opens a transaction if it wants one."""
    found = InPostgres()
    if not ids:
        return found
    kind = source.types[SCORECARD.source, "scorecard_id"]
    ids = _spellings(source, ids)
    wanted = f"s.scorecard_id = ANY(%s::{kind}[])"
    link = source.bytes_of(SCORECARD, SCORECARD.placed[1])
    query = (
        f"SELECT {link}, {source.customer}, s.scorecard_type::int, {source.process}, {_micros(source.time)}, "
        f"s.conversation_id::text, c.conversation_id IS NOT NULL, {_micros('s.updated_at')}, s.template_id::text "
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


class Shards:
    """One client for each shard; `close` it."""

    def __init__(self, settings: ClickHouseSettings, database: str) -> None:
        self._settings = patient(settings)
        self.database = database
        self._clients: dict[int, Any] = {}

    def ask(self, shard: int, query: str, values: dict[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Rows of a query; `{database}` in it is filled in.

        Raises:
            ClickHouseUnavailable, ClickHouseRefused: naming the shard.
        """
        try:
            if shard not in self._clients:
                self._clients[shard] = connect(self._settings, shard, database="")
            text = query.replace("{database}", self.database)
            rows: Sequence[Sequence[Any]] = (
                self._clients[shard].query(text, parameters=values, settings=_SETTINGS).result_rows
            )
        except Exception as error:
            raise shard_error(self._settings, shard, error) from error
        return rows

    def everywhere(self, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of all shards, each with the shard's number before it."""
        return [(shard, *row) for shard in range(len(self._settings.shards)) for row in self.ask(shard, query, values)]

    def shown(self, ids: Sequence[str], customers: Sequence[str]) -> list[TargetRow]:
        """The rows of these scorecards under these customers, on every shard and in every ClickHouse partition."""
        found: list[TargetRow] = []
        if not ids or not customers:
            return found
        for table in TARGETS:
            query = (
                f"SELECT toString(customer_id), scorecard_id, {table.id}, toUnixTimestamp64Micro(event_time), "
                f"is_process, _version, {target_hashes(table)} FROM {{database}}.{table.target} FINAL "
                "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s"
            )
            for shard, customer, scorecard, row, time_us, process, version, hashes in self.everywhere(
                query, {"ids": tuple(ids), "customers": tuple(customers)}
            ):
                key = Key(shard, table.target, customer, scorecard.int, row.int, time_us)
                found.append(TargetRow(key, time_us, bool(process), version, hashes))
        return found

    def highest(self, ids: Sequence[str], customers: Sequence[str]) -> dict[Key, tuple[int, bool]]:
        """For each sort key on each shard the highest version, and whether a delete marker has it."""
        found: dict[Key, tuple[int, bool]] = {}
        if not ids or not customers:
            return found
        for table in TARGETS:
            query = (
                f"SELECT toString(customer_id), scorecard_id, {table.id} AS row_id, "
                "toUnixTimestamp64Micro(event_time) AS time_us, max(_version), argMax(_deleted, _version) "
                f"FROM {{database}}.{table.target} "
                "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s "
                "GROUP BY customer_id, scorecard_id, row_id, time_us"
            )
            for shard, customer, scorecard, row, time_us, version, deleted in self.everywhere(
                query, {"ids": tuple(ids), "customers": tuple(customers)}
            ):
                key = Key(shard, table.target, customer, scorecard.int, row.int, time_us)
                found[key] = (version, bool(deleted))
        return found

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()


def columns_that_differ(table: Table, one: str, other: str) -> list[str]:
    """Names of the columns whose hashes differ."""
    return [
        column.name
        for at, column in enumerate(table.all_columns)
        if one[16 * at : 16 * at + 16] != other[16 * at : 16 * at + 16]
    ]


def _micros(expression: str) -> str:
    return f"CASE WHEN isfinite({expression}) THEN (extract(epoch FROM {expression}) * 1000000)::bigint END"
