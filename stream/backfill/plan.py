"""What a backfill reads, in which order: windows x tables -> steps, each one signal to Debezium. Pure.

A step reads the rows of one table that lie in one window of event time (stream/pipeline/placement.py). A process
scorecard lies at its `scorecard_time`, any other one at its conversation's `started_at`. Scores lie at their
scorecard's time, chats at their own `started_at`. Rows without an event time are in no window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec

from stream.errors import UsageError
from stream.postgres.defining_query import SourceSql, event_time, is_process, link_as
from stream.tables import CHATS, SCORE, SCORECARD, SIGNAL, quoted
from stream.times import moment

TABLES = (CHATS, SCORECARD.source, SCORE.source)  # in the order in which a window reads them
MAX_WINDOWS = 5_000
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")  # a signal's id has room for 64 characters


class Window(msgspec.Struct, frozen=True):
    """Microseconds since 1970; `end_us` is not part of it. None = no bound on that side."""

    number: int  # from 1
    start_us: int | None
    end_us: int | None

    def __str__(self) -> str:
        if self.start_us is None and self.end_us is None:
            return "everything"
        return f"{_text(self.start_us)} to {_text(self.end_us)}"


class BackfillStep(msgspec.Struct, frozen=True):
    """One signal: a window of one table."""

    number: int  # from 1
    window: Window
    table: str
    rows: int  # counted in Postgres before the start

    def __str__(self) -> str:
        return f"window {self.window.number} ({self.window}), {self.table}"


class BackfillPlan(msgspec.Struct, frozen=True):
    """A whole backfill. Steps without rows are left out."""

    name: str
    customers: tuple[str, ...]
    tables: tuple[str, ...]
    windows: tuple[Window, ...]
    steps: tuple[BackfillStep, ...]
    chunk: int  # rows that Debezium reads at once
    created_ms: int

    @property
    def rows(self) -> int:
        return sum(step.rows for step in self.steps)


def windows(start_us: int | None, end_us: int | None, *, size_s: float | None) -> tuple[Window, ...]:
    """The windows from start to end, all of `size_s` seconds but the last; one for everything when that is None.

    Raises:
        UsageError: a size needs both bounds; too many windows.
    """
    if size_s is None:
        return (Window(1, start_us, end_us),)
    if start_us is None or end_us is None:
        raise UsageError("windows need a start and an end: give --from and --to, or --window none")
    if start_us >= end_us:
        raise UsageError(
            f"the start {_text(start_us)} is not before the end {_text(end_us)}: give another --from or --to"
        )
    size_us = int(size_s * 1_000_000)
    count = -(-(end_us - start_us) // size_us)
    if count > MAX_WINDOWS:
        raise UsageError(f"that is {count:,} windows; at most {MAX_WINDOWS:,} make sense: give a longer --window")
    return tuple(
        Window(at + 1, start_us + at * size_us, min(start_us + (at + 1) * size_us, end_us)) for at in range(count)
    )


def steps(of: Sequence[Window], tables: Sequence[str], counts: dict[tuple[str, int], int]) -> tuple[BackfillStep, ...]:
    """Steps in order: windows one after another, within each the tables. `counts`: rows of (table, window number)."""
    wanted = [(window, table) for window in of for table in TABLES if table in tables]
    found = [(window, table, counts.get((table, window.number), 0)) for window, table in wanted]
    return tuple(
        BackfillStep(number, window, table, rows)
        for number, (window, table, rows) in enumerate([each for each in found if each[2]], start=1)
    )


def signal_id(name: str, step: BackfillStep, attempt: int) -> str:
    """The signal's id, which Debezium's notifications carry back.

    A step that must be read again gets another attempt.
    """
    return f"{name}/{step.number}/{step.table}/{attempt}"


def execute_snapshot(source: SourceSql, step: BackfillStep, customers: Sequence[str]) -> str:
    """The signal's data: an incremental snapshot of one table under a condition."""
    collection = re.escape(f"{source.schema}.{step.table}")  # both names are regular expressions to Debezium
    body: dict[str, object] = {"type": "incremental", "data-collections": [collection]}
    if step.table == SCORE.source:
        # Its messages are keyed by two columns; chunks in the order of both would scan the table each time.
        body["surrogate-key"] = SCORE.id
    if condition := condition_of(source, step.table, step.window, customers):
        body["additional-conditions"] = [{"data-collection": collection, "filter": condition}]
    return json.dumps(body)


def stop_snapshot(schema: str, tables: Sequence[str]) -> str:
    """The data of a stop-snapshot signal for these tables."""
    return json.dumps({"type": "incremental", "data-collections": [re.escape(f"{schema}.{table}") for table in tables]})


def condition_of(source: SourceSql, table: str, window: Window, customers: Sequence[str]) -> str:
    """SQL over the table's own row; "" = every row. Debezium puts it into each chunk's WHERE, so literals only.

    A chunk walks along the primary key, so a condition over the row itself costs one walk in all. For scores the
    planner chooses between that walk and a start from the window's scorecards.
    """
    if table == CHATS:
        return " AND ".join(_conditions(window, customers, customer="customer_id", time="started_at"))
    if table == SCORECARD.source:
        own = f"{source.table(table)}.{quoted('conversation_id')}"
        chat = f"(SELECT c.started_at FROM {source.table(CHATS)} c WHERE c.conversation_id = {_link(source, own)})"
        time = event_time(is_process(own), "scorecard_time", chat)
        return " AND ".join(_conditions(window, customers, customer="customer_id", time=time))
    conditions = _conditions(window, customers, customer="s.customer_id", time=source.time)
    if not conditions:
        return ""
    chosen = f"SELECT s.scorecard_id FROM {source.joined(SCORECARD)} WHERE {' AND '.join(conditions)}"
    return f"scorecard_id IN ({chosen})"


def count_query(source: SourceSql, table: str, of: Sequence[Window], customers: Sequence[str]) -> str:
    """Rows by window number of a table: (number, rows)."""
    whole = Window(0, of[0].start_us, of[-1].end_us)
    if table == CHATS:
        time, customer, origin = "c.started_at", "c.customer_id", f"{source.table(CHATS)} c"
    else:
        time, customer = source.time, "s.customer_id"
        origin = source.joined(SCORECARD if table == SCORECARD.source else SCORE)
    conditions = _conditions(whole, customers, customer=customer, time=time)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    number = "1"
    if len(of) > 1:
        starts = ", ".join(_literal(window.start_us) for window in of)
        number = f"width_bucket({time}, ARRAY[{starts}])"
    return f"SELECT {number} AS number, count(*) FROM {origin}{where} GROUP BY 1"


def _conditions(window: Window, customers: Sequence[str], *, customer: str, time: str) -> list[str]:
    found = []
    if customers:
        found.append(f"{customer}::text IN ({', '.join(_quote(each) for each in customers)})")
    if window.start_us is not None:
        found.append(f"{time} >= {_literal(window.start_us)}")
    if window.end_us is not None:
        found.append(f"{time} < {_literal(window.end_us)}")
    return found


def _link(source: SourceSql, own: str) -> str:
    """A scorecard's conversation id as the type of the chats' id, so that the chats' index serves."""
    link, chat = source.types[SCORECARD.source, "conversation_id"], source.types[CHATS, "conversation_id"]
    return own if link == chat else link_as(own, chat)


def signal_table(schema: str) -> str:
    """Its quoted name."""
    return f"{quoted(schema)}.{quoted(SIGNAL)}"


def _literal(time_us: int | None) -> str:
    assert time_us is not None  # several windows have all bounds
    return f"timestamptz '{moment(time_us).isoformat()}'"


def _quote(text: str) -> str:
    # E'' for backslashes: the meaning of a plain literal depends on standard_conforming_strings.
    plain = text.replace("'", "''")
    return "E'" + plain.replace("\\", "\\\\") + "'" if "\\" in text else f"'{plain}'"


def _text(time_us: int | None) -> str:
    return "any time" if time_us is None else moment(time_us).isoformat().replace("T00:00:00+00:00", "")
