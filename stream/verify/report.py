"""The usual tables: appeals by type, counts by day with gaps, counts by template.

Enters: the result of a comparison, and both stores. Leaves: plain values; the command prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stream.clickhouse.shards import Shards
from stream.postgres.connection import Connection, is_readable
from stream.postgres.defining_query import SourceSql
from stream.scope import Scope
from stream.tables import SCORE, SCORECARD, TEMPLATES
from stream.times import day_text
from stream.verify.cells import Cells

_MOST_DAYS = 20_000


@dataclass(frozen=True, slots=True)
class Day:
    """Counts of one day; a gap is a day without scorecards between two that have some."""

    day: str
    scorecards: int
    scorecards_shown: int
    process: int
    scores: int
    scores_shown: int
    gap: bool = False


def days(postgres: Cells, shards: Sequence[Cells]) -> list[Day]:
    """Counts of all customers of the scope together, from the first day to the last."""
    counts: dict[int, list[int]] = {}
    for shown, cells in ((0, postgres), *((1, held) for held in shards)):
        for cell, content in cells.items():
            row = counts.setdefault(cell.day, [0, 0, 0, 0, 0])
            if cell.table == SCORE.target:
                row[3 + shown] += content.rows
            else:
                row[shown] += content.rows
                row[2] += content.rows if cell.is_process and not shown else 0
    if not counts:
        return []
    every: Sequence[int] = range(min(counts), max(counts) + 1)
    if len(every) > _MOST_DAYS:  # a time far off: only days that have rows
        every = sorted(counts)
    return [_day(day, counts.get(day, [0, 0, 0, 0, 0])) for day in every]


def _day(day: int, counts: Sequence[int]) -> Day:
    scorecards, shown, process, scores, scores_shown = counts
    return Day(day_text(day), scorecards, shown, process, scores, scores_shown, gap=not scorecards)


def gaps(postgres: Cells) -> dict[str, list[str]]:
    """For each customer the days without scorecards between its first and its last."""
    seen: dict[str, set[int]] = {}
    for cell in postgres:
        if cell.table == SCORECARD.target:
            seen.setdefault(cell.customer_id, set()).add(cell.day)
    return {
        customer: [day_text(day) for day in range(min(held), max(held) + 1) if day not in held]
        for customer, held in sorted(seen.items())
        if max(held) - min(held) < _MOST_DAYS
    }


@dataclass(frozen=True, slots=True)
class Template:
    """`type` is the template's: 1 = auto (of conversations), 2 = manual (of processes); None = not in Postgres."""

    customer_id: str
    template_id: str
    title: str
    type: int | None
    scorecards: int
    with_conversation: int
    shown: int


def templates(connection: Connection, source: SourceSql, shards: Shards, scope: Scope) -> list[Template]:
    """Scorecards by template: in Postgres' defining query, and shown."""
    more, values = scope.postgres(customer=source.customer, time=source.time, process=source.process)
    in_postgres: dict[tuple[str, str], tuple[int, int]] = {
        (customer, template): (count, with_conversation)
        for customer, template, count, with_conversation in connection.execute(
            f"SELECT {source.customer}, s.template_id::text, count(*), count(*) FILTER (WHERE NOT {source.process}) "
            f"FROM {source.joined(SCORECARD)} WHERE {' AND '.join([source.ordinary, source.timed, *more])} "
            "GROUP BY 1, 2".encode(),
            values,
        )
    }
    named: dict[str, tuple[str, int]] = (
        {}
        if not is_readable(connection, source.table(TEMPLATES))
        else {
            template: (title, kind)
            for template, title, kind in connection.execute(
                f"SELECT template_id::text, title, type::int FROM {source.table(TEMPLATES)}".encode()
            )
        }
    )
    conditions, bound = scope.clickhouse()
    shown: dict[tuple[str, str], int] = {}
    for _, customer, template, count in shards.everywhere(
        "SELECT toString(customer_id) AS customer, toString(template_id) AS template, count() "
        f"FROM {{database}}.{SCORECARD.target} FINAL "
        + (f"WHERE {' AND '.join(conditions)} " if conditions else "")
        + "GROUP BY customer, template",
        bound,
        settings={"do_not_merge_across_partitions_select_final": 1},
    ):
        shown[customer, template] = shown.get((customer, template), 0) + count
    found = []
    for customer, template in sorted(in_postgres.keys() | shown.keys()):
        title, kind = named.get(template, ("", None))
        count, with_conversation = in_postgres.get((customer, template), (0, 0))
        found.append(
            Template(customer, template, title, kind, count, with_conversation, shown.get((customer, template), 0))
        )
    return sorted(found, key=lambda t: (t.customer_id, t.type or 9, -t.scorecards))
