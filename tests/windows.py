"""A reader's conditions on the views' columns, at random: as SQL and as a test of a row."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from stream.tables import Column, Table

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = tuple[Any, ...]  # in the order of Table.all_columns; UUIDs as int, times as microseconds since 1970


@dataclass(frozen=True, slots=True)
class Window:
    """A condition: `sql` for a WHERE clause, `holds` for a row in the form of `FakePostgres.expected`."""

    sql: str
    holds: Callable[[Row], bool]


def windows(
    choices: random.Random, table: Table, times: Sequence[int], rows: Sequence[Row], count: int
) -> list[Window]:
    """Random windows of time, most of them together with a condition on another column.

    Args:
        times: event times that rows have or had; borders lie on them, beside them, and at their days and months.
        rows: from which the other columns' values come.
    """
    names = [column.name for column in table.all_columns]
    time_at = names.index("event_time")
    found = []
    for _ in range(count):
        window = choices.choice([_range, _range, _day, _month])(choices, time_at, times)
        if rows and choices.random() < 0.6:
            at = choices.choice([i for i, name in enumerate(names) if i != time_at])
            window = _both(window, _equal(table.all_columns[at], at, choices.choice(rows)[at]))
        found.append(window)
    return found


def _range(choices: random.Random, at: int, times: Sequence[int]) -> Window:
    near = [0, 1, -1, 3_600_000_000, -3_600_000_000, DAY_US, -DAY_US]
    start, end = sorted(choices.choice(times) + choices.choice(near) for _ in range(2))
    end += choices.choice([0, 1])
    if choices.random() < 0.3:
        return Window(f"event_time < {_time(end)}", lambda row: row[at] < end)
    if choices.random() < 0.3:
        return Window(f"event_time >= {_time(start)}", lambda row: row[at] >= start)
    return Window(f"event_time >= {_time(start)} AND event_time < {_time(end)}", lambda row: start <= row[at] < end)


def _day(choices: random.Random, at: int, times: Sequence[int]) -> Window:
    day = choices.choice(times) // DAY_US
    return Window(f"toDate(event_time) = '{_moment(day * DAY_US):%Y-%m-%d}'", lambda row: row[at] // DAY_US == day)


def _month(choices: random.Random, at: int, times: Sequence[int]) -> Window:
    month = f"{_moment(choices.choice(times)):%Y%m}"
    return Window(f"toYYYYMM(event_time) = {month}", lambda row: f"{_moment(row[at]):%Y%m}" == month)


def _equal(column: Column, at: int, value: Any) -> Window:
    if value is None:
        return Window(f"{column.name} IS NULL", lambda row: row[at] is None)
    text = {
        "uuid": lambda: f"'{UUID(int=value)}'",
        "time": lambda: _time(value),
        "text": lambda: "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'",
    }.get(column.kind, lambda: repr(value))()
    return Window(f"{column.name} = {text}", lambda row: row[at] == value)


def _both(one: Window, other: Window) -> Window:
    return Window(f"{one.sql} AND {other.sql}", lambda row: one.holds(row) and other.holds(row))


def _time(time_us: int) -> str:
    return f"fromUnixTimestamp64Micro(toInt64({time_us}), 'UTC')"


def _moment(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)
