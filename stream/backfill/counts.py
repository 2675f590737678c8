"""Rows of each window in Postgres, counted before a backfill starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.backfill.plan import Window, count_query
from stream.errors import UsageError
from stream.pipeline.placement import TIME_MAX_US, TIME_MIN_US
from stream.postgres.connection import Postgres
from stream.postgres.defining_query import SourceSql, micros_of, source_of
from stream.tables import CHATS, SCORECARD
from stream.times import moment


class RowCounts:
    """The rows to read, counted by the reader's role. Raises PostgresUnavailable, PostgresRefused."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        with postgres.asking() as connection:
            self.source: SourceSql = source_of(connection, postgres.schema)

    def check_customers(self, customers: Sequence[str]) -> None:
        """Check that these customers exist.

        Raises:
            UsageError: a customer has neither scorecards nor chats; the text names it.
        """
        tables = [self.source.table(name) for name in (SCORECARD.source, CHATS)]
        for customer in customers:
            queries = (f"SELECT 1 FROM {table} WHERE customer_id::text = %s LIMIT 1" for table in tables)
            if not any(self._rows(query, (customer,)) for query in queries):
                raise UsageError(
                    f"there is no customer {customer!r}: neither a scorecard nor a chat in Postgres is theirs; "
                    "ids are compared letter by letter"
                )

    def span(self, customers: Sequence[str]) -> tuple[int, int] | None:
        """First event time of indexable rows, and the moment after the last, in microseconds; None without any."""
        time = self.source.time
        bounds = f"{time} BETWEEN '{moment(TIME_MIN_US)}' AND '{moment(TIME_MAX_US)}'"
        whose = " AND s.customer_id::text = ANY(%s::text[])" if customers else ""
        rows = self._rows(
            f"SELECT {micros_of(f'min({time})')}, {micros_of(f'max({time})')} "
            f"FROM {self.source.joined(SCORECARD)} WHERE {bounds}{whose}",
            (list(customers),) if customers else (),
        )
        first, last = rows[0]
        return None if first is None else (first, last + 1)

    def rows(self, tables: Sequence[str], of: Sequence[Window], customers: Sequence[str]) -> dict[tuple[str, int], int]:
        """Rows of (table, number of the window)."""
        found = {}
        for table in tables:
            for number, count in self._rows(count_query(self.source, table, of, customers), ()):
                if number is not None:
                    found[table, int(number)] = int(count)
        return found

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._postgres.asking("Postgres (a count)") as connection:
            return connection.execute(query.encode(), values or None).fetchall()
