"""Postgres against ClickHouse, row for row and column for column, for some customers.

`DEFINING` is the definition of ClickHouse's content, in SQL over Postgres; it judges everything else in the project.
Rows of both sides are brought into one form: UUIDs as text, times as microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from stream.clickhouse.shards import connect
from stream.settings_sections import ClickHouseSettings
from stream.tables import SCORE, SCORECARD, TARGETS, Column, Table

# Appeals are never shown; a scorecard without an event time waits for its conversation.
DEFINING = """
    WITH shown AS (
        SELECT s.*,
               coalesce(s.conversation_id, '') = '' AS is_process,
               CASE WHEN coalesce(s.conversation_id, '') = '' THEN s.scorecard_time ELSE c.started_at END AS event_time
        FROM app.scorecards s LEFT JOIN app.chats c ON c.conversation_id = s.conversation_id
        WHERE s.customer_id = %(customer)s AND coalesce(s.scorecard_type, 0) = 0
    )"""
FROM = {
    SCORECARD.target: "FROM shown AS source WHERE source.event_time IS NOT NULL",
    SCORE.target: "FROM app.scores AS source JOIN shown USING (scorecard_id) WHERE shown.event_time IS NOT NULL",
}
EXAMPLES = 5


@dataclass(slots=True)
class Difference:
    """The differences in one table of one customer."""

    customer_id: str
    table: str
    missing: int = 0  # in Postgres, not in ClickHouse
    extra: int = 0  # in ClickHouse, not in Postgres (or twice)
    stale: int = 0  # in both, with other values
    examples: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.missing + self.extra + self.stale


@dataclass(slots=True)
class Comparison:
    """One customer in both stores."""

    customer_id: str
    postgres: dict[str, int] = field(default_factory=dict)  # rows that must be visible, by target table
    clickhouse: dict[str, int] = field(default_factory=dict)  # rows that are visible
    appeals: int = 0  # appeal scorecards in Postgres
    appeals_visible: int = 0  # rows of them, or of their scores, in ClickHouse
    process: int = 0
    process_indexed: int = 0
    waiting: int = 0  # scorecards whose conversation has not arrived
    differences: list[Difference] = field(default_factory=list)

    @property
    def different_rows(self) -> int:
        return sum(difference.rows for difference in self.differences)


def compare(connection: psycopg.Connection[Any], settings: ClickHouseSettings, customer_id: str) -> Comparison:
    """Read both sides of a customer and compare them. Rows of one customer must fit into memory.

    Args:
        connection: in autocommit, may read schema app; one snapshot serves both tables.
    """
    out = Comparison(customer_id)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        wanted = {table.target: _postgres_rows(connection, table, customer_id) for table in TARGETS}
        appeals, out.waiting = _hidden(connection, customer_id)
    out.appeals = len(appeals)
    clients = [connect(settings, shard) for shard in range(len(settings.shards))]
    try:
        for table in TARGETS:
            shown = [row for client in clients for row in _clickhouse_rows(client, table, customer_id)]
            out.postgres[table.target] = len(wanted[table.target])
            out.clickhouse[table.target] = len(shown)
            names = [column.name for column in _columns(table)]
            scorecard_at, process_at = names.index("scorecard_id"), names.index("is_process")
            out.appeals_visible += sum(1 for row in shown if row[scorecard_at] in appeals)
            if table is SCORECARD:
                out.process = sum(1 for row in wanted[table.target] if row[process_at])
                out.process_indexed = sum(1 for row in shown if row[process_at])
            if (difference := _difference(customer_id, table, wanted[table.target], shown)).rows:
                out.differences.append(difference)
    finally:
        for client in clients:
            client.close()
    return out


def _difference(
    customer_id: str, table: Table, wanted: Sequence[tuple[Any, ...]], shown: Sequence[tuple[Any, ...]]
) -> Difference:
    out = Difference(customer_id, table.target)
    names = [column.name for column in _columns(table)]
    at = names.index(table.id)
    expected = {row[at]: row for row in wanted}
    found = {row[at]: row for row in shown}
    out.extra = len(shown) - len(found)  # a row that stands twice
    for row_id, row in found.items():
        if row_id not in expected:
            out.extra += 1
            _example(out, f"{table.target} {row_id}: not in Postgres")
        elif expected[row_id] != row:
            out.stale += 1
            pairs = zip(names, expected[row_id], row, strict=True)
            wrong = ", ".join(f"{name} {here!r} not {there!r}" for name, there, here in pairs if here != there)
            _example(out, f"{table.target} {row_id}: {wrong}")
    for row_id in expected.keys() - found.keys():
        out.missing += 1
        _example(out, f"{table.target} {row_id}: missing")
    return out


def _example(out: Difference, text: str) -> None:
    if len(out.examples) < EXAMPLES:
        out.examples.append(text)


def _columns(table: Table) -> tuple[Column, ...]:
    return table.all_columns


def _postgres_rows(connection: psycopg.Connection[Any], table: Table, customer_id: str) -> list[tuple[Any, ...]]:
    selected = []
    for column in _columns(table):
        placed = column in table.placed and table is SCORE
        name = f"{'shown' if placed else 'source'}.{column.name}"
        if column.kind == "uuid":
            name = f"nullif({name}::text, '')"
        elif column.kind == "time":
            name = f"(extract(epoch FROM {name}) * 1000000)::bigint"
        selected.append(name)
    query = f"{DEFINING} SELECT {', '.join(selected)} {FROM[table.target]}"
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query.encode(), {"customer": customer_id}).fetchall()


def _hidden(connection: psycopg.Connection[Any], customer_id: str) -> tuple[set[str], int]:
    """Ids of the appeals, and how many ordinary scorecards have no event time."""
    appeals = connection.execute(
        "SELECT scorecard_id::text FROM app.scorecards WHERE customer_id = %s AND scorecard_type IN (1, 2, 3)",
        [customer_id],
    ).fetchall()
    waiting = connection.execute(
        f"{DEFINING} SELECT count(*) FROM shown WHERE event_time IS NULL".encode(), {"customer": customer_id}
    ).fetchone()
    return {row[0] for row in appeals}, waiting[0] if waiting else 0


def _clickhouse_rows(client: Any, table: Table, customer_id: str) -> list[tuple[Any, ...]]:
    selected = []
    for column in _columns(table):
        if column.kind == "uuid":
            selected.append(f"toString({column.name})")
        elif column.kind == "time":
            selected.append(f"toUnixTimestamp64Micro({column.name})")
        elif column.low_cardinality:
            selected.append(f"toString({column.name})")
        else:
            selected.append(column.name)
    answer = client.query(
        f"SELECT {', '.join(selected)} FROM {table.target}_current WHERE customer_id = %(customer)s",
        parameters={"customer": customer_id},
    )
    return [tuple(row) for row in answer.result_rows]
