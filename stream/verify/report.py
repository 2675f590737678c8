"""The tables that people used to make by hand: appeals by type, counts by day with gaps, counts by template.

Enters: what a comparison found, and both stores. Leaves: plain values; printing is the command's.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from stream.pipeline.placement import APPEALS
from stream.scope import Scope
from stream.tables import SCORE, SCORECARD, TEMPLATES
from stream.times import day_text
from stream.verify.cells import Cells
from stream.verify.checksums import Source, quoted
from stream.verify.row_states import Shards

_CHUNK = 1_000
_MOST_DAYS = 20_000
_LOOK_AFTER_S = (0.3, 0.7, 1.0)
_Shown = dict[tuple[str, str, str], int]  # (table, customer, scorecard id) -> rows


@dataclass(slots=True)
class Appeals:
    """Of one customer. `visible` and `visible_scores` must be 0."""

    customer_id: str
    by_type: dict[int, int] = field(default_factory=lambda: dict.fromkeys(sorted(APPEALS), 0))
    visible: int = 0
    visible_scores: int = 0

    def as_json(self) -> dict[str, Any]:
        replica, request, resolve = (self.by_type[kind] for kind in sorted(APPEALS))
        return {
            "customer_id": self.customer_id,
            "replica": replica,
            "request": request,
            "resolve": resolve,
            "visible_scorecards": self.visible,
            "visible_scores": self.visible_scores,
        }


def appeals(
    connection: psycopg.Connection[Any],
    source: Source,
    shards: Shards,
    scope: Scope,
    *,
    caught_up: Callable[[], bool] = lambda: True,
    lasting: bool = True,
) -> list[Appeals]:
    """Appeals of the scope in Postgres, and how many of them ClickHouse shows.

    Args:
        connection: in autocommit, so that each look sees the present.
        caught_up: waits for what is committed by now; False when the pipeline did not get there in time.
        lasting: count only what goes on being shown for some seconds, so that no appeal counts that was just filed.
    """
    found: dict[str, Appeals] = {}
    shown: _Shown = {}
    for chunk in appeal_ids(connection, source, scope):
        customers = {customer for _, customer, _ in chunk}
        for _, customer, kind in chunk:
            found.setdefault(customer, Appeals(customer)).by_type[kind] += 1
        shown |= _look(shards, [i for i, _, _ in chunk], customers)
    if lasting and len(shown) <= _CHUNK:  # more are no race
        shown = _lasting(shown, connection, source, shards, caught_up)
    for (table, customer, _), rows in shown.items():
        each = found.setdefault(customer, Appeals(customer))
        if table == SCORECARD.target:
            each.visible += rows
        else:
            each.visible_scores += rows
    return sorted(found.values(), key=lambda each: each.customer_id)


def _look(shards: Shards, ids: Sequence[str], customers: set[str]) -> _Shown:
    found: _Shown = Counter()
    for table, customer, card, rows in visible(shards, ids, customers):
        found[table, customer, card] += rows  # it may stand on several shards
    return found


def _lasting(
    shown: _Shown,
    connection: psycopg.Connection[Any],
    source: Source,
    shards: Shards,
    caught_up: Callable[[], bool],
) -> _Shown:
    """What goes on being shown: an appeal that was filed a moment ago is on its way out of ClickHouse."""
    for wait_s in _LOOK_AFTER_S:
        if not shown:
            break
        threading.Event().wait(wait_s)
        ids = sorted({card for _, _, card in shown})
        before = _still_appeals(connection, source, ids)
        if not caught_up():
            return {}  # what differs by them is told as not comparable yet
        now = _look(shards, ids, {customer for _, customer, _ in shown})
        still = before & _still_appeals(connection, source, ids)
        shown = {key: rows for key, rows in now.items() if key in shown and key[2] in still}
    return shown


def _still_appeals(connection: psycopg.Connection[Any], source: Source, ids: Sequence[str]) -> set[str]:
    kind = source.types[SCORECARD.source, "scorecard_id"]
    rows = connection.execute(
        f"SELECT s.scorecard_id::text FROM {source.joined(SCORECARD)} "
        f"WHERE {source.appeal} AND s.scorecard_id = ANY(%s::{kind}[])".encode(),
        [list(ids)],
    )
    return {row[0] for row in rows}


def appeal_ids(
    connection: psycopg.Connection[Any], source: Source, scope: Scope, *, after: str | None = None
) -> Iterator[list[tuple[str, str, int]]]:
    """(scorecard id, customer, type) of all appeals of the scope, by id, up to 1,000 at a time.

    Args:
        after: start behind this id.
    """
    more, values = scope.postgres(customer=source.customer, time=source.time, process=source.process)
    yield from pages(connection, source, [source.appeal, *more], values, after=after)


def pages(
    connection: psycopg.Connection[Any],
    source: Source,
    conditions: Sequence[str],
    values: Sequence[Any],
    *,
    after: str | None,
) -> Iterator[list[tuple[str, str, int]]]:
    """(scorecard id, customer, type or 0) by id, each page a query of its own: no snapshot is held open."""
    kind = source.types[SCORECARD.source, "scorecard_id"]
    while True:
        bound = f"s.scorecard_id > %s::{kind}" if after is not None else "TRUE"
        rows = connection.execute(
            f"SELECT s.scorecard_id::text, {source.customer}, coalesce(s.scorecard_type, 0)::int "
            f"FROM {source.joined(SCORECARD)} WHERE {' AND '.join([*conditions, bound])} "
            f"ORDER BY s.scorecard_id LIMIT {_CHUNK}".encode(),
            [*values, *([after] if after is not None else [])],
        ).fetchall()
        if not rows:
            return
        yield [(row[0], row[1], row[2]) for row in rows]
        after = rows[-1][0]


def visible(shards: Shards, ids: Sequence[str], customers: set[str]) -> Iterator[tuple[str, str, str, int]]:
    """(table, customer, scorecard id, rows) of what any shard shows of these scorecards."""
    for table in scope_tables():
        for _, customer, scorecard, rows in shards.everywhere(
            f"SELECT toString(customer_id) AS customer, scorecard_id, count() FROM {{database}}.{table} FINAL "
            "WHERE customer_id IN %(customers)s AND scorecard_id IN %(ids)s GROUP BY customer, scorecard_id",
            {"ids": tuple(ids), "customers": tuple(customers)},
        ):
            yield table, customer, str(scorecard), rows


def scope_tables() -> tuple[str, str]:
    """The target tables that hold rows of a scorecard."""
    return SCORECARD.target, SCORE.target


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
    """All customers of the scope together, from the first day to the last."""
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


def templates(connection: psycopg.Connection[Any], source: Source, shards: Shards, scope: Scope) -> list[Template]:
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
        if not _has_templates(connection, source.schema)
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


def _has_templates(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Whether there is a table of templates that may be read."""
    row = connection.execute(
        "SELECT coalesce(has_table_privilege(to_regclass(%s), 'SELECT'), false)", (f"{quoted(schema)}.{TEMPLATES}",)
    ).fetchone()
    return bool(row and row[0])
