"""Scorecards by id, a page at a time: each page is a query of its own, so that no snapshot is held open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stream.postgres.connection import Connection
from stream.postgres.defining_query import SourceSql
from stream.scope import Scope
from stream.tables import SCORECARD

_CHUNK = 1_000


def appeal_ids(
    connection: Connection,
    source: SourceSql,
    scope: Scope,
    *,
    after: str | None = None,
    size: int = _CHUNK,
) -> Iterator[list[tuple[str, str, int]]]:
    """(scorecard id, customer, type) of all appeals of the scope, by id, a page at a time.

    Args:
        after: start behind this id.
        size: the most ids of a page.
    """
    more, values = scope.postgres(customer=source.customer, time=source.time, process=source.process)
    yield from pages(connection, source, [source.appeal, *more], values, after=after, size=size)


def pages(
    connection: Connection,
    source: SourceSql,
    conditions: Sequence[str],
    values: Sequence[Any],
    *,
    after: str | None,
    size: int = _CHUNK,
) -> Iterator[list[tuple[str, str, int]]]:
    """(scorecard id, customer, type or 0) by id, each page a query of its own: no snapshot is held open."""
    kind = source.types[SCORECARD.source, "scorecard_id"]
    while True:
        bound = f"s.scorecard_id > %s::{kind}" if after is not None else "TRUE"
        rows = connection.execute(
            f"SELECT s.scorecard_id::text, {source.customer}, coalesce(s.scorecard_type, 0)::int "
            f"FROM {source.joined(SCORECARD)} WHERE {' AND '.join([*conditions, bound])} "
            f"ORDER BY s.scorecard_id LIMIT {size}".encode(),
            [*values, *([after] if after is not None else [])],
        ).fetchall()
        if not rows:
            return
        yield [(row[0], row[1], row[2]) for row in rows]
        after = rows[-1][0]
