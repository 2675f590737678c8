"""Rows -> bytes -> 64-bit hashes -> order-free sums: the same figures from Postgres' SQL and from ClickHouse's.

Every column becomes bytes that say exactly what it holds, in both stores alike:

    uuid   its 16 bytes                         float  the 8 bytes of IEEE 754, so -0.0 and 0.0 differ
    time   microseconds since 2000, 8 bytes     int    4 bytes          bool  1 byte
    text   its UTF-8, then a zero byte          nullable  00 for NULL, 01 and the value otherwise

UUIDs may be text in Postgres; the empty text is NULL there, as it is for the indexer. A row's hash is the first half of
the MD5 of all its columns, big-endian; MD5 because it is the fast hash that every Postgres and every ClickHouse have.
Sums are taken modulo 2**64. Pure: SQL text only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stream.pipeline.placement import APPEALS, ORDINARY, TIME_MAX_US, TIME_MIN_US
from stream.tables import CHATS, SCORE, SCORECARD, Column, Table
from stream.times import POSTGRES_EPOCH_US, moment

MODULUS = 1 << 64
_UUID = "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$"
_TIMES = {"timestamptz": "timestamptz_send", "timestamp": "timestamp_send"}

Types = Mapping[tuple[str, str], str]  # (table, column) -> Postgres' name of its type


@dataclass(frozen=True, slots=True)
class Source:
    """Postgres' side. Aliases: s = scorecards, r = the row's own table, c = chats."""

    schema: str
    types: Types

    def table(self, name: str) -> str:
        return f"{quoted(self.schema)}.{quoted(name)}"

    @property
    def process(self) -> str:
        return "(s.conversation_id IS NULL OR s.conversation_id::text = '')"

    @property
    def time(self) -> str:
        """The event time, as a timestamptz."""
        return f"(CASE WHEN {self.process} THEN s.scorecard_time ELSE c.started_at END)"

    @property
    def day(self) -> str:
        """Days since 1970 of the event time."""
        return f"(({self.time} AT TIME ZONE 'UTC')::date - date '1970-01-01')"

    @property
    def customer(self) -> str:
        return "s.customer_id::text"

    @property
    def ordinary(self) -> str:
        kinds = ", ".join(str(kind) for kind in ORDINARY if kind is not None)
        return f"(s.scorecard_type IS NULL OR s.scorecard_type IN ({kinds}))"

    @property
    def appeal(self) -> str:
        return f"s.scorecard_type IN ({', '.join(map(str, sorted(APPEALS)))})"

    @property
    def timed(self) -> str:
        """The event time is known, and DateTime64 holds it."""
        return f"{self.time} BETWEEN '{moment(TIME_MIN_US)}' AND '{moment(TIME_MAX_US)}'"

    def joined(self, table: Table) -> str:
        """FROM: all rows of a table with their scorecards and conversations."""
        link, chat = self.types[SCORECARD.source, "conversation_id"], self.types[CHATS, "conversation_id"]
        # as in the live look-up: cast the scorecard's side where the types differ
        on = "s.conversation_id" if link == chat else f"NULLIF(s.conversation_id::text, '')::{chat}"
        own = "" if table is SCORECARD else f"JOIN {self.table(SCORE.source)} r ON r.scorecard_id = s.scorecard_id "
        return f"{self.table(SCORECARD.source)} s {own}LEFT JOIN {self.table(CHATS)} c ON c.conversation_id = {on}"

    def bytes_of(self, table: Table, column: Column) -> str:
        """The canonical bytes of a column, never NULL."""
        if column.name == "event_time":
            return f"timestamptz_send({self.time})"
        if column.name == "is_process":
            return f"boolsend({self.process})"
        if column.name == "customer_id":
            return self._bytes(Column("customer_id", "text", nullable=False), "s.customer_id", "text")
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
        """Why ClickHouse cannot hold a row (such changes are dead letters); an empty text when it can."""
        found = []
        for column in table.columns:
            name = f"{_alias(table)}.{quoted(column.name)}"
            kind = self.types[table.source, column.name]
            if column.kind == "float":
                found.append(f"CASE WHEN {name}::float8 - {name}::float8 <> 0 THEN '{column.name} is not finite' END")
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
                plain = f"float8send({name}::float8)"
            case "int":
                plain = f"int4send({name}::int4)"
            case "bool":
                plain = f"boolsend({name}::bool)"
            case _:
                plain = f"convert_to({name}::text, 'UTF8') || '\\x00'::bytea"
        if not column.nullable:
            return f"({plain})"
        if column.kind == "uuid" and kind != "uuid":
            return f"(CASE WHEN {name}::text <> '' THEN '\\x01'::bytea || ({plain}) ELSE '\\x00'::bytea END)"
        return f"coalesce('\\x01'::bytea || {plain}, '\\x00'::bytea)"


def target_bytes(column: Column) -> str:
    """The canonical bytes of a column in ClickHouse, never NULL."""
    name = f"`{column.name}`"
    match column.kind:
        case "uuid":
            plain = f"UUIDToNum({name})"
        case "time":
            plain = f"reverse(reinterpretAsFixedString(toUnixTimestamp64Micro({name}) - {POSTGRES_EPOCH_US}))"
        case "float":
            plain = f"reverse(reinterpretAsFixedString({name}))"
        case "int":
            plain = f"reverse(reinterpretAsFixedString(toInt32({name})))"
        case "bool":
            plain = f"reinterpretAsFixedString(toUInt8({name}))"
        case _:
            plain = f"concat({name}, '\\0')"
    return f"ifNull(concat('\\x01', {plain}), '\\0')" if column.nullable else plain


def target_hash(table: Table) -> str:
    """The hash of a row in ClickHouse, a UInt64."""
    # halfMD5 of one argument is the first half of its MD5, big-endian
    return f"halfMD5(concat({', '.join(target_bytes(column) for column in table.all_columns)}))"


def target_hashes(table: Table) -> str:
    """16 hex digits for each column, in one text."""
    each = (f"lower(leftPad(hex(halfMD5({target_bytes(column)})), 16, '0'))" for column in table.all_columns)
    return f"concat({', '.join(each)})"


TARGET_DAY = "toInt32(toDate32(event_time))"


def quoted(identifier: str) -> str:
    """An identifier for Postgres."""
    return '"' + identifier.replace('"', '""') + '"'


def _alias(table: Table) -> str:
    return "s" if table is SCORECARD else "r"
