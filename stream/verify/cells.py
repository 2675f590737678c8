"""Cells: count and checksum of the rows of one customer, day and kind, computed inside each store.

Enters: a scope. Leaves: the cells of Postgres' defining query, those of every shard, and how they differ. For those
that differ, also the differing scorecards. No row leaves its store for a cell that agrees.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import groupby
from typing import Any, NamedTuple

from stream.clickhouse.sharding import layout_of
from stream.clickhouse.shards import Shards
from stream.pipeline.writes import Layout
from stream.postgres.connection import Connection
from stream.postgres.defining_query import MODULUS, SourceSql
from stream.scope import Scope
from stream.tables import Table
from stream.times import DAY_US
from stream.verify.checksums import TARGET_DAY, target_hash

POSTGRES = -1  # the "shard" of Postgres' rows
_FINAL = {"do_not_merge_across_partitions_select_final": 1}


class Cell(NamedTuple):
    """`day` is days since 1970 of the event time."""

    table: str
    customer_id: str
    day: int
    is_process: bool


class Content(NamedTuple):
    """How many rows, and the sum of their hashes modulo 2**64."""

    rows: int
    checksum: int


NOTHING = Content(0, 0)
Cells = dict[Cell, Content]


class Different(NamedTuple):
    """A cell in which a shard does not hold Postgres' rows for it."""

    cell: Cell
    shard: int
    postgres: Content
    clickhouse: Content


def postgres_cells(
    connection: Connection, source: SourceSql, scope: Scope, on_table: Callable[[Table, int], None]
) -> Cells:
    """The cells that ClickHouse must have: one pass over each table, inside the caller's transaction.

    Args:
        on_table: called with the rows of each table when it is done.
    """
    found: Cells = {}
    for table in scope.targets:
        conditions, values = _conditions(source, scope)
        # One pass with hash joins and hash aggregation in parallel. The planner cannot know how few cells there are. It
        # would sort millions of rows, or look millions of scorecards up one by one.
        for name in ("nestloop", "mergejoin", "sort") if not scope.customers else ("sort",):
            connection.execute(f"SET LOCAL enable_{name} = off")
        query = (
            f"SELECT {source.customer}, {source.day}, {source.process}, count(*), sum({source.hash_of(table)}) "
            f"FROM {source.joined(table)} WHERE {' AND '.join(conditions)} GROUP BY 1, 2, 3"
        )
        rows = 0
        for customer, day, process, count, total in connection.execute(query.encode(), values):
            found[Cell(table.target, customer, day, process)] = Content(count, int(total) % MODULUS)
            rows += count
        on_table(table, rows)
    return found


def clickhouse_cells(shards: Shards, scope: Scope, on_table: Callable[[Table, int], None]) -> list[Cells]:
    """The cells of each shard, all shards at the same time.

    Raises:
        ClickHouseUnavailable, ClickHouseRefused: naming the shard.
    """

    def of_shard(shard: int) -> Cells:
        found: Cells = {}
        for table in scope.targets:
            conditions, values = scope.clickhouse()
            query = (
                f"SELECT toString(customer_id), {TARGET_DAY} AS day, is_process, count(), "
                f"sum({target_hash(table)}) FROM {{database}}.{table.target} FINAL {_where(conditions)} "
                "GROUP BY customer_id, day, is_process"
            )
            rows = 0
            for customer, day, process, count, total in shards.ask(shard, query, values, settings=_FINAL):
                found[Cell(table.target, customer, day, bool(process))] = Content(count, total)
                rows += count
            on_table(table, rows)
        return found

    return shards.each(of_shard)


def differing(postgres: Cells, shards: list[Cells], layout: Layout) -> list[Different]:
    """All cells that differ on some shard. Rows on another shard than their day's are differences."""
    found = []
    for cell in sorted(postgres.keys() | {cell for cells in shards for cell in cells}):
        home = layout.shard(cell.day * DAY_US)
        for shard, cells in enumerate(shards):
            wanted = postgres.get(cell, NOTHING) if shard == home else NOTHING
            held = cells.get(cell, NOTHING)
            if held != wanted:
                found.append(Different(cell, shard, wanted, held))
    return found


class Suspect(NamedTuple):
    """A scorecard that differs between both sides, and the customers under which it was seen."""

    scorecard_id: str  # 32 hex digits
    customers: frozenset[str]


def suspects(
    connection: Connection,
    source: SourceSql,
    shards: Shards,
    *,
    scope: Scope,
    cells: Iterable[Cell],
) -> Iterator[Suspect]:
    """The scorecards in which these cells differ, by id. Both stores send count and checksum of each, sorted.

    Memory does not grow with the number of rows. A scorecard is yielded once for each table at most.
    """
    wanted: dict[str, list[Cell]] = {}
    for cell in cells:
        wanted.setdefault(cell.table, []).append(cell)
    for table in scope.targets:
        chosen = wanted.get(table.target)
        if not chosen:
            continue
        with ExitStack() as stack:
            wanted_here = _postgres_stream(
                connection, source, scope=scope, table=table, layout=layout_of(shards), cells=chosen
            )
            held = (_shard_stream(shards, shard, table=table, cells=chosen) for shard in range(shards.count))
            yield from _disagreeing([stack.enter_context(closing(stream)) for stream in (wanted_here, *held)])


class _Part(NamedTuple):
    """One store's part of a scorecard in a cell, and the shard where that is, or should be."""

    scorecard: bytes
    origin: int
    where: tuple[str, int, bool, int]
    content: Content


def _disagreeing(streams: Sequence[Iterator[_Part]]) -> Iterator[Suspect]:
    merged = heapq.merge(*streams, key=lambda part: part.scorecard)
    for scorecard, group in groupby(merged, key=lambda part: part.scorecard):
        wanted: dict[Any, Content] = {}
        held: dict[Any, Content] = {}
        for part in group:
            (wanted if part.origin == POSTGRES else held)[part.where] = part.content
        if wanted != held:
            yield Suspect(scorecard.hex(), frozenset(where[0] for where in (*wanted, *held)))


def _postgres_stream(
    connection: Connection,
    source: SourceSql,
    *,
    scope: Scope,
    table: Table,
    layout: Layout,
    cells: list[Cell],
) -> Generator[_Part]:
    conditions, values = _conditions(source, scope)
    customers, days, processes = _axes(cells)
    columns = f"({source.customer}, {source.day}, {source.process})"
    conditions.append(f"{columns} IN (SELECT * FROM unnest(%s::text[], %s::int[], %s::bool[]))")
    scorecard = source.bytes_of(table, next(c for c in table.placed if c.name == "scorecard_id"))
    query = (
        f"SELECT {scorecard}, {source.customer}, {source.day}, {source.process}, count(*), "
        f"sum({source.hash_of(table)}) FROM {source.joined(table)} WHERE {' AND '.join(conditions)} "
        "GROUP BY 1, 2, 3, 4 ORDER BY 1"
    )
    for name in ("nestloop", "sort"):
        connection.execute(f"SET LOCAL enable_{name} = on")
    with connection.cursor(name="suspects") as cursor:
        cursor.itersize = 10_000
        cursor.execute(query.encode(), [*values, customers, days, processes])
        for scorecard_id, customer, day, process, rows, total in cursor:
            where = (customer, day, process, layout.shard(day * DAY_US))
            yield _Part(bytes(scorecard_id), POSTGRES, where, Content(rows, int(total) % MODULUS))


def _shard_stream(shards: Shards, shard: int, *, table: Table, cells: list[Cell]) -> Generator[_Part]:
    customers, days, processes = _axes(cells)
    values: Mapping[str, Any] = {
        "customers": tuple(set(customers)),
        "cells": tuple(zip(customers, days, map(int, processes), strict=True)),
    }
    start, end = min(days) * DAY_US, (max(days) + 1) * DAY_US
    query = (
        f"SELECT UUIDToNum(scorecard_id) AS id, toString(customer_id), {TARGET_DAY} AS day, is_process, count(), "
        f"sum({target_hash(table)}) FROM {{database}}.{table.target} FINAL "
        "WHERE customer_id IN %(customers)s "
        f"AND event_time >= fromUnixTimestamp64Micro({start}, 'UTC') "
        f"AND event_time < fromUnixTimestamp64Micro({end}, 'UTC') "
        f"AND (toString(customer_id), day, toUInt8(is_process)) IN %(cells)s "
        "GROUP BY id, customer_id, day, is_process ORDER BY id"
    )
    for block in shards.blocks(shard, query, values, settings=_FINAL, formats={"FixedString": "bytes"}):
        for scorecard, customer, day, process, rows, total in block:
            yield _Part(bytes(scorecard), shard, (customer, day, bool(process), shard), Content(rows, total))


def _conditions(source: SourceSql, scope: Scope) -> tuple[list[str], list[Any]]:
    more, values = scope.postgres(customer=source.customer, time=source.time, process=source.process)
    return [source.ordinary, source.timed, *more], values


def _axes(cells: list[Cell]) -> tuple[list[str], list[int], list[bool]]:
    return [c.customer_id for c in cells], [c.day for c in cells], [c.is_process for c in cells]


def _where(conditions: list[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""
