"""What is indexed, declared once: source columns, target columns, keys. The only list of columns in the package.

The source's tables stand in connectors/source/0001_tables.sql, the target's in stream/clickhouse/schema/*.sql. Tests
hold all three against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["uuid", "text", "time", "float", "int", "bool"]

# ClickHouse's type of each kind. Times are UTC microseconds, as in Postgres.
CLICKHOUSE_TYPES: dict[Kind, str] = {
    "uuid": "UUID",
    "text": "String",
    "time": "DateTime64(6, 'UTC')",
    "float": "Float64",
    "int": "Int16",
    "bool": "Bool",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is copied from Postgres to ClickHouse unchanged."""

    name: str
    kind: Kind
    nullable: bool = True
    low_cardinality: bool = False

    @property
    def clickhouse_type(self) -> str:
        plain = CLICKHOUSE_TYPES[self.kind]
        if self.low_cardinality:
            return f"LowCardinality({plain})"
        return f"Nullable({plain})" if self.nullable else plain


@dataclass(frozen=True, slots=True)
class Table:
    """A target table, and the columns that the source table fills."""

    source: str  # table in Postgres, last part of the topic's name
    target: str  # table in ClickHouse
    id: str  # primary key in Postgres
    columns: tuple[Column, ...]  # copied from the message
    placed: tuple[Column, ...]  # filled from the scorecard's place (stream/pipeline/placement.py)

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Target columns in the order of the DDL, without _version and _deleted."""
        return self.placed + self.columns

    @property
    def insert_columns(self) -> tuple[str, ...]:
        return (*(column.name for column in self.all_columns), "_version", "_deleted")

    @property
    def insert_types(self) -> tuple[str, ...]:
        return (*(column.clickhouse_type for column in self.all_columns), "UInt128", "UInt8")


_PLACED = (
    Column("customer_id", "text", nullable=False, low_cardinality=True),
    Column("scorecard_id", "uuid", nullable=False),
    Column("event_time", "time", nullable=False),
    Column("is_process", "bool", nullable=False),
)

SCORECARD = Table(
    source="scorecards",
    target="scorecard",
    id="scorecard_id",
    placed=_PLACED,
    columns=(
        Column("template_id", "uuid", nullable=False),
        Column("conversation_id", "uuid"),
        Column("agent_user_id", "uuid"),
        Column("submission_source", "int"),
        Column("scorecard_time", "time"),
        Column("submitted_at", "time"),
        Column("score", "float"),
        Column("comment", "text"),
        Column("created_at", "time", nullable=False),
        Column("updated_at", "time", nullable=False),
    ),
)

SCORE = Table(
    source="scores",
    target="score",
    id="score_id",
    placed=_PLACED,
    columns=(
        Column("score_id", "uuid", nullable=False),
        Column("criterion_id", "uuid", nullable=False),
        Column("numeric_value", "float"),
        Column("ai_value", "float"),
        Column("not_applicable", "bool", nullable=False),
        Column("comment", "text"),
        Column("updated_at", "time", nullable=False),
    ),
)

# The connector cuts a text at this many UTF-16 units, so that no change outgrows a message
# (stream/pipeline/cut_texts.py).
TEXT_UNITS = 1_048_576

CHATS = "chats"
HEARTBEAT = "scorestream_heartbeat"  # tables of connectors/source/0002_cdc.sql
SIGNAL = "scorestream_signal"
HORIZON = "scorestream_horizon"  # which transactions had ended, second by second (connectors/source/0002_cdc.sql)
# Source columns that are read and not copied.
EXTRA: dict[str, tuple[Column, ...]] = {
    SCORECARD.source: (
        Column("scorecard_id", "uuid", nullable=False),
        Column("customer_id", "text", nullable=False),
        Column("scorecard_type", "int"),
    ),
    SCORE.source: (Column("scorecard_id", "uuid", nullable=False),),
    CHATS: (
        Column("conversation_id", "uuid", nullable=False),
        Column("customer_id", "text", nullable=False),
        Column("started_at", "time"),
    ),
}
TARGETS: tuple[Table, ...] = (SCORECARD, SCORE)
SOURCES: tuple[str, ...] = (CHATS, SCORECARD.source, SCORE.source)
LOOKED_UP: tuple[str, ...] = (*SOURCES, HEARTBEAT, HORIZON)  # tables of Postgres that a running installation reads
TEMPLATES = "scorecard_templates"


def columns_of(source: str) -> tuple[Column, ...]:
    """The columns of a source table that are read; those that are not copied come first."""
    return EXTRA[source] + next((table.columns for table in TARGETS if table.source == source), ())


def quoted(identifier: str) -> str:
    """Quote an identifier for Postgres: it may hold capitals, hyphens, or be a reserved word."""
    return '"' + identifier.replace('"', '""') + '"'
