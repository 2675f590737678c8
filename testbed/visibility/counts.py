"""How many rows must be visible, and how many are: cheap counts for progress, before everything is compared."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import psycopg

from stream.clickhouse.shards import connect
from stream.settings_sections import ClickHouseSettings
from stream.tables import TARGETS
from testbed.traffic.customers import IDS
from testbed.visibility.compare import DEFINING, FROM

Counts = dict[str, int]  # by target table


def expected(connection: psycopg.Connection[Any]) -> Counts:
    """Rows of the customers that must be visible, by Postgres."""
    found: Counts = {}
    for table in TARGETS:
        found[table.target] = 0
        for customer_id in IDS:
            query = f"{DEFINING} SELECT count(*) {FROM[table.target]}"
            row = connection.execute(query.encode(), {"customer": customer_id}).fetchone()
            found[table.target] += row[0] if row else 0
    return found


class Visible:
    """Counts rows on all shards. Close it after use."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._clients = [connect(settings, shard) for shard in range(len(settings.shards))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for client in self._clients:
            client.close()

    def now(self) -> float:
        """ClickHouse's clock, as `_indexed_at` has it (Unix time in seconds)."""
        return min(float(client.command("SELECT toFloat64(now64(3))")) for client in self._clients)

    def count(self, *, since: float = 0.0) -> tuple[Counts, Counts]:
        """Visible rows of the customers: (all, those that were stored after `since`)."""
        every: Counts = {}
        fresh: Counts = {}
        for table in TARGETS:
            for client in self._clients:
                total, new = client.query(
                    f"SELECT count(), countIf(toFloat64(_indexed_at) >= {since}) FROM {table.target} FINAL "
                    "WHERE customer_id IN %(ids)s",
                    parameters={"ids": IDS},
                    settings={"do_not_merge_across_partitions_select_final": 1},
                ).first_row
                every[table.target] = every.get(table.target, 0) + total
                fresh[table.target] = fresh.get(table.target, 0) + new
        return every, fresh
