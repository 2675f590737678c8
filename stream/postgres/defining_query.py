"""What Postgres holds that ClickHouse shall show: the one definition of process, event time, link and kind, as SQL.

Enters: the schema and the types that its columns have. Leaves: SQL expressions and FROM clauses. Asks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.pipeline.placement import APPEALS, ORDINARY, TIME_MAX_US, TIME_MIN_US
from stream.pipeline.values import uuid_int
from stream.postgres.connection import Connection
from stream.tables import CHATS, SCORE, SCORECARD, TARGETS, Column, Table, quoted
from stream.times import moment

MODULUS = 1 << 64
_UUID = "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
_BEYOND_FLOAT8 = "1.797693134862315807e308"  # about the middle between the greatest double and infinity
_TIMES = {"timestamptz": "timestamptz_send", "timestamp": "timestamp_send"}
Types = Mapping[tuple[str, str], str]  # (table, column) -> Postgres' name of its type


@dataclass(frozen=True, slots=True)
class SourceSql:
    """Postgres' side. Aliases: s = scorecards, r = the row's own table, c = chats."""

    schema: str
    types: Types

    def table(self, name: str) -> str:
        return f"{quoted(self.schema)}.{quoted(name)}"

    @property
    def process(self) -> str:
        return is_process("s.conversation_id")

    @property
    def time(self) -> str:
        """The event time, as a timestamptz."""
        return event_time(self.process, "s.scorecard_time", "c.started_at")

    @property
    def day(self) -> str:
        """Days since 1970 of the event time."""
        return f"(({self.time} AT TIME ZONE 'UTC')::date - date '1970-01-01')"

    @property
    def customer(self) -> str:
        return text_of("s.customer_id", self.types.get((SCORECARD.source, "customer_id"), "text"))

    @property
    def ordinary(self) -> str:
        kinds = ", ".join(str(kind) for kind in ORDINARY if kind is not None)
        return f"(s.scorecard_type IS NULL OR s.scorecard_type IN ({kinds}))"

    @property
    def appeal(self) -> str:
        return f"s.scorecard_type IN ({', '.join(map(str, sorted(APPEALS)))})"

    @property
    def timed(self) -> str:
        """Condition: the event time is known, and DateTime64 holds it."""
        return f"{self.time} BETWEEN '{moment(TIME_MIN_US)}' AND '{moment(TIME_MAX_US)}'"

    def joined(self, table: Table) -> str:
        """FROM: all rows of a table with their scorecards and conversations."""
        link, chat = self.types[SCORECARD.source, "conversation_id"], self.types[CHATS, "conversation_id"]
        # as in the live look-up: cast the scorecard's side where the types differ
        on = "s.conversation_id" if link == chat else link_as("s.conversation_id", chat)
        own = "" if table is SCORECARD else f"JOIN {self.table(SCORE.source)} r ON r.scorecard_id = s.scorecard_id "
        return f"{self.table(SCORECARD.source)} s {own}LEFT JOIN {self.table(CHATS)} c ON c.conversation_id = {on}"

    def bytes_of(self, table: Table, column: Column) -> str:
        """The canonical bytes of a column, never NULL."""
        if column.name == "event_time":
            return f"timestamptz_send({self.time})"
        if column.name == "is_process":
            return f"boolsend({self.process})"
        if column.name == "customer_id":
            return self._bytes(Column("customer_id", "text", nullable=False), self.customer, "text")
        alias, owner = ("s", SCORECARD.source) if column.name == "scorecard_id" else (_alias(table), table.source)
        return self._bytes(column, f"{alias}.{quoted(column.name)}", self.types[owner, column.name])

    def id_of(self, table: Table) -> str:
        """The bytes of a row's own id."""
        return self.bytes_of(table, next(c for c in table.all_columns if c.name == table.id))

    def hash_of(self, table: Table) -> str:
        """The hash of a row, a signed bigint."""
        whole = " || ".join(self.bytes_of(table, column) for column in table.all_columns)
        return f"('x' || left(md5({whole}), 16))::bit(64)::bigint"

    def hashes_of(self, table: Table) -> str:
        """16 hex digits for each column, in one text."""
        return " || ".join(f"left(md5({self.bytes_of(table, column)}), 16)" for column in table.all_columns)

    def faults_of(self, table: Table) -> str:
        """Why ClickHouse cannot hold a row (such changes become dead letters); an empty text when it can."""
        found = []
        for column in table.columns:
            name = f"{_alias(table)}.{quoted(column.name)}"
            kind = self.types[table.source, column.name]
            if column.kind == "float":
                number = float_of(name, kind)
                found.append(f"CASE WHEN {number} - {number} <> 0 THEN '{column.name} is not finite' END")
            elif column.kind == "time":
                bounds = f"BETWEEN '{moment(TIME_MIN_US)}' AND '{moment(TIME_MAX_US)}'"
                text = f"{column.name} is outside of 1900 to 2299"
                found.append(f"CASE WHEN NOT {name} {bounds} THEN '{text}' END")
            elif column.kind == "uuid" and kind != "uuid":
                found.append(
                    f"CASE WHEN {name}::text <> '' AND {name}::text !~ '{_UUID}' THEN '{column.name} is not a UUID' END"
                )
        return f"concat_ws(', ', {', '.join(found)})"

    def _bytes(self, column: Column, name: str, kind: str) -> str:
        match column.kind:
            case "uuid" if kind == "uuid":
                plain = f"uuid_send({name})"
            case "uuid":
                # \x02: not a UUID, which no row in ClickHouse can equal
                plain = f"CASE WHEN {name}::text ~ '{_UUID}' THEN uuid_send({name}::text::uuid) ELSE '\\x02'::bytea END"
            case "time":
                plain = f"{_TIMES[kind]}({name})" if kind in _TIMES else f"timestamptz_send({name}::timestamptz)"
            case "float":
                plain = f"float8send({float_of(name, kind)})"
            case "int":
                plain = f"int4send({name}::int4)"
            case "bool":
                plain = f"boolsend({name}::bool)"
            case _:
                plain = f"convert_to({text_of(name, kind)}, 'UTF8') || '\\x00'::bytea"
        if not column.nullable:
            return f"({plain})"
        if column.kind == "uuid" and kind != "uuid":
            return f"(CASE WHEN {name}::text <> '' THEN '\\x01'::bytea || ({plain}) ELSE '\\x00'::bytea END)"
        return f"coalesce('\\x01'::bytea || {plain}, '\\x00'::bytea)"


def is_process(link: str) -> str:
    """Condition: a scorecard with this conversation id is a process scorecard."""
    return f"({link} IS NULL OR {link}::text = '')"


def event_time(process: str, scorecard_time: str, started_at: str) -> str:
    """The event time of a scorecard, by whether it is a process scorecard."""
    return f"(CASE WHEN {process} THEN {scorecard_time} ELSE {started_at} END)"


def micros_of(expression: str, *, beyond: str = "NULL") -> str:
    """Microseconds since 1970 of a timestamp; `beyond`, SQL for a number, where it is infinite or over 64 bits."""
    number = f"extract(epoch FROM {expression}) * 1000000"
    return (
        f"CASE WHEN isfinite({expression}) AND {number} < {1 << 63} THEN ({number})::bigint "
        f"WHEN {expression} IS NOT NULL THEN {beyond} END"
    )


def float_of(name: str, kind: str) -> str:
    """A number as the double that the connector sends; infinite where no double holds it."""
    if kind == "float4":  # the connector sends the shortest decimal of the float, and not the double that it widens to
        return f"({name}::text::float8)"
    if kind == "numeric":
        return f"(CASE WHEN abs({name}) >= {_BEYOND_FLOAT8} THEN 'Infinity'::float8 ELSE {name}::float8 END)"
    return f"{name}::float8"


def text_of(name: str, kind: str) -> str:
    """A text as the connector sends it: char(n) keeps its padding, which a cast to text would remove."""
    return f"convert_from(bpcharsend({name}::bpchar), 'UTF8')" if kind == "bpchar" else f"{name}::text"


def link_as(name: str, kind: str) -> str:
    """A scorecard's conversation id as the type of the chats' id; NULL where the text does not fit that type."""
    if kind == "uuid":
        return f"CASE WHEN {name}::text ~ '{_UUID}' THEN {name}::text::uuid END"
    return f"NULLIF({name}::text, '')::{kind}"


def _alias(table: Table) -> str:
    return "s" if table is SCORECARD else "r"


def as_stored(connection: Connection, source: SourceSql, ids: Sequence[str]) -> list[str]:
    """The ids as Postgres spells them, one for each: a text column may hold another spelling."""
    kind = source.types[SCORECARD.source, "scorecard_id"]
    if kind == "uuid":
        return list(ids)
    query = f"SELECT scorecard_id::text FROM {source.table(SCORECARD.source)} WHERE scorecard_id = ANY(%s::{kind}[])"
    held = {uuid_int(row[0]): row[0] for row in connection.execute(query.encode(), (spellings(source, ids),))}
    return [held.get(uuid_int(scorecard_id), scorecard_id) for scorecard_id in ids]


def spellings(source: SourceSql, ids: Sequence[str]) -> list[str]:
    if source.types[SCORECARD.source, "scorecard_id"] == "uuid":
        return list(ids)
    bare = [scorecard_id.replace("-", "") for scorecard_id in ids]
    return [spelled for text in (*ids, *bare) for spelled in (text.lower(), text.upper())]


def source_of(connection: Connection, schema: str) -> SourceSql:
    """Postgres' side of the checksums, for the types of its columns."""
    rows = connection.execute(
        "SELECT c.relname, a.attname, coalesce(b.typname, t.typname) "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype "
        "WHERE n.nspname = %s AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped",
        (schema, [CHATS, *(table.source for table in TARGETS)]),
    )
    return SourceSql(schema, {(table, column): kind for table, column, kind in rows})
