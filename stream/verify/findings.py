"""What is wrong with a row, and why: missing, extra or stale. Pure.

missing   Postgres' defining query has it, ClickHouse does not show it
extra     ClickHouse shows it, and must not: its scorecard is an appeal or gone, or it stands in a wrong place
stale     ClickHouse shows it in its place with other content
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stream.pipeline.placement import APPEALS, ORDINARY, State
from stream.pipeline.stored import Key
from stream.pipeline.values import uuid_text
from stream.pipeline.writes import Layout
from stream.tables import TARGETS
from stream.times import DAY_US, day_text, moment
from stream.verify.row_states import Card, InPostgres, RowId, SourceRow, TargetRow, columns_that_differ

APPEAL_NAMES = {1: "original replica", 2: "request", 3: "resolve"}
_BY_TARGET = {table.target: table for table in TARGETS}


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One wrong row, and where it was seen."""

    what: Literal["missing", "extra", "stale"]
    table: str
    scorecard_id: str
    row_id: str
    customer_id: str
    event_time_us: int
    is_process: bool
    shard: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "table": self.table,
            "scorecard_id": self.scorecard_id,
            "row_id": self.row_id,
            "customer_id": self.customer_id,
            "event_time": moment(self.event_time_us).isoformat(),
            "kind": "process" if self.is_process else "conversation",
            "shard": self.shard,
            "reason": self.reason,
        }

    @property
    def day(self) -> str:
        return day_text(self.event_time_us // DAY_US)


def compare(
    postgres: InPostgres,
    shown: Iterable[TargetRow],
    layout: Layout,
    *,
    highest: Mapping[Key, tuple[int, bool]],
    dead_letters: Mapping[str, str],
    settled: Collection[str] = (),
) -> list[RowDifference]:
    """The findings of some scorecards.

    Args:
        postgres: their states and rows.
        shown: the rows that the shards show of them.
        highest: version and whether it is a marker of keys, to tell why a row is missing.
        dead_letters: row id -> where a refused change of it lies.
        settled: ids of rows whose letter is named only while the row still cannot be indexed.
    """
    found: list[RowDifference] = []
    standing: dict[RowId, list[TargetRow]] = {}
    for row in shown:
        standing.setdefault((row.key.table, row.key.row_id), []).append(row)
    for row_id, wanted in postgres.rows.items():
        card = postgres.cards.get(wanted.scorecard_id)
        if card is not None and card.place.state is State.VISIBLE:
            rows = [row for row in standing.get(row_id, []) if row.key.scorecard_id == wanted.scorecard_id]
            letter = dead_letters.get(uuid_text(row_id[1]))
            if not wanted.fault and uuid_text(row_id[1]) in settled:
                letter = None
            finding = _wanted(row_id, wanted, card, rows, layout, highest=highest, letter=letter)
            if finding is not None:
                found.append(finding)
    for row_id, rows in standing.items():
        for row in rows:
            reason = _unwanted(row_id, row, postgres, layout)
            if reason:
                found.append(_finding("extra", row.key, row.event_time_us, row.is_process, reason))
    return sorted(found, key=lambda f: (f.customer_id, f.scorecard_id, f.table, f.row_id, f.what, f.shard))


def _wanted(
    row_id: RowId,
    wanted: SourceRow,
    card: Card,
    rows: Collection[TargetRow],
    layout: Layout,
    *,
    highest: Mapping[Key, tuple[int, bool]],
    letter: str | None,
) -> RowDifference | None:
    """Missing or stale, or None."""
    table = _BY_TARGET[row_id[0]]
    key = layout.key(table, card.place, scorecard_id=wanted.scorecard_id, row_id=row_id[1])
    at, process = card.place.event_time_us or 0, card.place.is_process
    here = next((row for row in rows if row.key == key), None)
    if here is not None:
        columns = columns_that_differ(table, wanted.hashes, here.hashes)
        if not columns:
            return None
        why = [f"the new content cannot be indexed: {wanted.fault}"] if wanted.fault else []
        reason = "; ".join([f"content differs in {', '.join(columns)}", *why, *([letter] if letter else [])])
        return _finding("stale", key, at, process, reason)
    if wanted.fault:
        reason = f"cannot be indexed: {wanted.fault}" + (f"; {letter}" if letter else "")
    elif letter:
        reason = letter
    elif rows:
        elsewhere = "; ".join(_difference(row.key, key) for row in rows)
        reason = f"shown in a wrong place only: {elsewhere}"
    elif highest.get(key, (0, False))[1]:
        reason = f"hidden by a delete marker of version {highest[key][0]}"
    else:
        reason = "not in ClickHouse at all"
    return _finding("missing", key, at, process, reason)


def _unwanted(row_id: RowId, row: TargetRow, postgres: InPostgres, layout: Layout) -> str:
    """Why a row must not be shown where it is; empty when it must."""
    card = postgres.cards.get(row.key.scorecard_id)
    if card is None:
        return "scorecard gone in Postgres"
    if card.place.state is not State.VISIBLE:
        return not_shown(card)
    wanted = postgres.rows.get(row_id)
    if wanted is None or wanted.scorecard_id != row.key.scorecard_id:
        return f"{row.key.table} gone in Postgres" if wanted is None else "belongs to another scorecard"
    table = _BY_TARGET[row.key.table]
    key = layout.key(table, card.place, scorecard_id=row.key.scorecard_id, row_id=row_id[1])
    return "" if row.key == key else _difference(row.key, key)


def not_shown(card: Card) -> str:
    """Why a scorecard of Postgres must not be shown."""
    if card.scorecard_type in APPEALS:
        since = f", row last changed {moment(card.updated_at_us).isoformat()}" if card.updated_at_us else ""
        return f"appeal (scorecard_type {card.scorecard_type}, {APPEAL_NAMES[card.scorecard_type or 0]}{since})"
    if card.scorecard_type not in ORDINARY:
        return f"unknown scorecard_type {card.scorecard_type}"
    if card.place.is_process:
        return "no scorecard_time"
    if not card.has_chat:
        return f"conversation {card.conversation_id} is not in Postgres"
    return f"conversation {card.conversation_id} has no started_at that ClickHouse can hold"


def _difference(has: Key, wanted: Key) -> str:
    """How a row's place differs from the one where it belongs."""
    parts = []
    if has.customer_id != wanted.customer_id:
        parts.append(f"wrong customer: under {has.customer_id}, belongs to {wanted.customer_id}")
    if has.event_time_us != wanted.event_time_us:
        times = (moment(key.event_time_us).isoformat() for key in (has, wanted))
        parts.append("ghost of another time: at {}, belongs at {}".format(*times))
    if has.shard != wanted.shard:
        parts.append(f"wrong shard: on {has.shard}, belongs on {wanted.shard}")
    return ", ".join(parts)


def _finding(
    what: Literal["missing", "extra", "stale"], key: Key, event_time_us: int, is_process: bool, reason: str
) -> RowDifference:
    return RowDifference(
        what=what,
        table=key.table,
        scorecard_id=uuid_text(key.scorecard_id),
        row_id=uuid_text(key.row_id),
        customer_id=key.customer_id,
        event_time_us=event_time_us,
        is_process=is_process,
        shard=key.shard,
        reason=reason,
    )
