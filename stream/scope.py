"""What a verify, a reindex or a purge is about: customers, a window of event time, process or conversation, tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from stream.errors import UsageError
from stream.tables import TARGETS, Table

DAY_US = 86_400_000_000
Kind = Literal["all", "process", "conversation"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """Nothing given = everything. Times are microseconds since 1970; `end_us` is not part of the window."""

    customers: tuple[str, ...] = ()
    start_us: int | None = None
    end_us: int | None = None
    kind: Kind = "all"
    tables: tuple[Table, ...] = TARGETS

    def postgres(self, *, customer: str, time: str, process: str) -> tuple[list[str], list[Any]]:
        """Conditions over these expressions, and their parameters."""
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
        """The same over the target tables."""
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
        """For `--json`."""
        return {
            "customers": list(self.customers),
            "from": None if self.start_us is None else moment(self.start_us).isoformat(),
            "to": None if self.end_us is None else moment(self.end_us).isoformat(),
            "kind": self.kind,
            "tables": [table.target for table in self.tables],
        }


def moment(micros: int) -> datetime:
    """A UTC datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def day_text(day: int) -> str:
    """`2026-01-31` of a number of days since 1970."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def parse_time(text: str, *, end: bool = False) -> int:
    """Microseconds since 1970 of an ISO date or time (UTC where it names no zone); a date as an end includes its day.

    Raises:
        UsageError: it is neither.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is neither a date (2026-01-31) nor a time (2026-01-31T12:00:00)") from error
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if end and len(text) <= len("2026-01-31"):
        value += timedelta(days=1)
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
