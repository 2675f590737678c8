"""Rows of each window in Postgres, counted before a backfill starts."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import psycopg

from stream.backfill.plan import Window, count_query
from stream.backfill.signals import _TRANSIENT
from stream.config import Settings
from stream.errors import PostgresRefused, PostgresUnavailable, UsageError
from stream.pipeline.placement import TIME_MAX_US, TIME_MIN_US
from stream.postgres import connection as postgres
from stream.postgres.defining_query import Source, source_of
from stream.tables import CHATS, SCORECARD
from stream.times import moment


class Counts:
    """What there is to read, counted by the reader. `with`-able. Raises as stream/postgres/places.py does."""

    def __init__(self, settings: Settings) -> None:
        self._connection = postgres.connect(settings.postgres)
        self._connection.execute("SET statement_timeout = 0")  # a count of everything takes as long as it takes
        self.source: Source = source_of(self._connection, settings.postgres.source_schema)

    def check_customers(self, customers: Sequence[str]) -> None:
        """
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
        """First event time and the moment after the last, in microseconds, of what can be indexed; None without any."""
        time = self.source.time
        bounds = f"{time} BETWEEN '{moment(TIME_MIN_US)}' AND '{moment(TIME_MAX_US)}'"
        whose = " AND s.customer_id::text = ANY(%s::text[])" if customers else ""
        rows = self._rows(
            f"SELECT (extract(epoch FROM min({time})) * 1000000)::bigint, "
            f"(extract(epoch FROM max({time})) * 1000000)::bigint "
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

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query.encode(), values or None).fetchall()
        except _TRANSIENT as error:
            raise PostgresUnavailable(f"Postgres: {str(error).splitlines()[0]}") from error
        except psycopg.Error as error:
            raise PostgresRefused(f"Postgres refused a count: {str(error).splitlines()[0]}") from error
