"""Which scorecards a command covers: customers, a window of event time, kind. One type for all commands."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stream.tables import TARGETS, Table
from stream.times import moment

Kind = Literal["all", "process", "conversation"]


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which scorecards; an empty scope covers everything. Kafka keeps that of a replay as JSON.

    Times are microseconds since 1970, and `end_us` is exclusive. `tables` are names of target tables.
    """

    customers: tuple[str, ...] = ()
    start_us: int | None = None
    end_us: int | None = None
    kind: Kind = "all"
    tables: tuple[str, ...] = tuple(table.target for table in TARGETS)

    @property
    def targets(self) -> tuple[Table, ...]:
        """Target tables of the scope."""
        return tuple(table for table in TARGETS if table.target in self.tables)

    @property
    def is_empty(self) -> bool:
        """Whether it covers everything."""
        return self == Scope()

    @property
    def names_customers_only(self) -> bool:
        return bool(self.customers) and self == self.of_customers()

    def of_customers(self) -> Scope:
        """The same without time and kind: a scorecard that left the window must leave its old place, too."""
        return Scope(customers=self.customers)

    def postgres(self, *, customer: str, time: str, process: str) -> tuple[list[str], list[Any]]:
        """SQL conditions for Postgres over these expressions, and their parameters."""
        found: list[tuple[str, list[Any]]] = []
        if self.customers:
            found.append((f"{customer} = ANY(%s::text[])", [list(self.customers)]))
        if self.start_us is not None:
            found.append((f"{time} >= %s::timestamptz", [moment(self.start_us)]))
        if self.end_us is not None:
            found.append((f"{time} < %s::timestamptz", [moment(self.end_us)]))
        if self.kind != "all":
            found.append((process if self.kind == "process" else f"NOT {process}", []))
        return [sql for sql, _ in found], [value for _, values in found for value in values]

    def clickhouse(self) -> tuple[list[str], dict[str, Any]]:
        """The same conditions for ClickHouse, over the columns of the target tables."""
        found: list[str] = []
        values: dict[str, Any] = {}
        if self.customers:
            found.append("customer_id IN %(customers)s")
            values["customers"] = self.customers
        if self.start_us is not None:
            found.append(f"event_time >= fromUnixTimestamp64Micro({self.start_us}, 'UTC')")
        if self.end_us is not None:
            found.append(f"event_time < fromUnixTimestamp64Micro({self.end_us}, 'UTC')")
        if self.kind != "all":
            found.append("is_process" if self.kind == "process" else "NOT is_process")
        return found, values

    def as_json(self) -> dict[str, Any]:
        """The scope for `--json`."""
        return {
            "customers": list(self.customers),
            "from": None if self.start_us is None else moment(self.start_us).isoformat(),
            "to": None if self.end_us is None else moment(self.end_us).isoformat(),
            "kind": self.kind,
            "tables": list(self.tables),
        }
