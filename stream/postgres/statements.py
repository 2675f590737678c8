"""The SQL of the look-ups, for the types that the source's columns have: ids may be uuid or text there.

Enters: a connection, to ask for the types. Leaves: statements, each with one array of ids as its parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

from stream.errors import PostgresRefused
from stream.pipeline.pieces import Piece
from stream.postgres import row_versions
from stream.postgres.connection import Connection, is_readable
from stream.postgres.defining_query import event_time, float_of, is_process, link_as, micros_of, text_of
from stream.tables import CHATS, HORIZON, SCORE, SCORECARD, Column, Table, quoted

# Type names that mean less than the type: `character` alone is character(1), and would cut an id to its first digit.
_SHORT = {"character": "bpchar", "real": "float4"}
_BEYOND = str(2**63 - 1)
# Scores of one scorecard that are read to look for some of them: for each of those, and at most.
READ_FOR_EACH, READ_AT_MOST = 50, 1_000


class Statements:
    """The statements of one connection's database and one schema."""

    def __init__(self, connection: Connection, schema: str) -> None:
        types = _column_types(connection, schema)
        scorecards, scores, chats = (f"{quoted(schema)}.{quoted(t)}" for t in (SCORECARD.source, SCORE.source, CHATS))
        card_type = types[SCORECARD.source, "scorecard_id"]
        link_type, chat_type = types[SCORECARD.source, "conversation_id"], types[CHATS, "conversation_id"]
        link = "s.conversation_id"
        if link_type != chat_type:  # cast the scorecard's side, so that the chats' index still serves
            link = link_as("s.conversation_id", chat_type)
        customer = text_of("s.customer_id", types[SCORECARD.source, "customer_id"])
        process = is_process("s.conversation_id")
        files = row_versions.FILES.format(scorecards=_regclass(scorecards), chats=_regclass(chats))
        wanted = f"unnest(%s::{card_type}[]) WITH ORDINALITY AS w(id, n)"
        time = event_time(process, "s.scorecard_time", "c.started_at")
        self.places = f"""
            SELECT w.n, {customer}, s.scorecard_type::bigint, {process}, {time}::timestamptz,
                (SELECT {files}), {row_versions.COLUMNS}
            FROM {wanted} JOIN {scorecards} s ON s.scorecard_id = w.id
            LEFT JOIN {chats} c ON c.conversation_id = {link}"""
        self.owners = f"SELECT w.n, {customer} FROM {wanted} JOIN {scorecards} s ON s.scorecard_id = w.id"
        plain = _are_plain(connection, schema, (SCORECARD.source, CHATS))
        self.changed = row_versions.CHANGED.format(files=files, scorecards=scorecards, chats=chats) if plain else None
        horizon = "SELECT NULL::bigint"
        if is_readable(connection, table := f"{quoted(schema)}.{quoted(HORIZON)}"):
            horizon = f"SELECT begun FROM {table} WHERE ended > {_xid('c')} ORDER BY ended, begun LIMIT 1"
        self.scorecards_of = f"""
            SELECT w.n, s.scorecard_id::text, coalesce((s.xmin = c.xmin OR {_xid("s")} >= h.begun) AND NOT EXISTS (
                SELECT FROM {scores} x WHERE x.scorecard_id = s.scorecard_id
                AND x.xmin <> c.xmin AND coalesce({_xid("x")} < h.begun, true)), false)
            FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) AS now(xid),
                unnest(%s::{link_type}[]) WITH ORDINALITY AS w(id, n)
            JOIN {scorecards} s ON s.conversation_id = w.id
            LEFT JOIN {chats} c ON c.conversation_id = {link}
            LEFT JOIN LATERAL ({horizon}) AS h(begun) ON true"""
        score_type, of_type = types[SCORE.source, "score_id"], types[SCORE.source, "scorecard_id"]
        self.lacking = f"""
            SELECT w.n - 1 FROM unnest(%s::{score_type}[], %s::{of_type}[]) WITH ORDINALITY AS w(id, of, n)
            WHERE NOT EXISTS (SELECT FROM {scores} x WHERE x.score_id = w.id AND x.scorecard_id = w.of)"""
        # The scores of a scorecard lie together in its index, and mostly in the table. By their own ids each is a
        # search of its own, anywhere in a much larger index.
        self.perhaps_lacking = f"""
            WITH w AS MATERIALIZED (
                SELECT * FROM unnest(%s::{score_type}[], %s::{of_type}[]) WITH ORDINALITY AS w(id, of, n)
            ), held AS MATERIALIZED (
                SELECT d.of, x.score_id FROM (SELECT of, count(*) AS n FROM w GROUP BY of) d CROSS JOIN LATERAL (
                    SELECT score_id FROM {scores} x WHERE x.scorecard_id = d.of
                    LIMIT least({READ_FOR_EACH} * d.n, {READ_AT_MOST})) x
            )
            SELECT w.n - 1 FROM w WHERE NOT EXISTS (SELECT FROM held h WHERE h.score_id = w.id AND h.of = w.of)"""
        self.sizes = [
            f"SELECT w.n, count(*) FROM {wanted} JOIN {source} s ON s.scorecard_id = w.id GROUP BY w.n"
            for source in (scorecards, scores)
        ]
        self.rows = {
            table.target: f"""
            SELECT w.n, {", ".join(_column(column, types[table.source, column.name]) for column in table.columns)}
            FROM {wanted} JOIN {source} s ON s.scorecard_id = w.id"""
            for table, source in ((SCORECARD, scorecards), (SCORE, scores))
        }


def _column_types(connection: Connection, schema: str) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {
        (table, column): _SHORT.get(kind, kind)
        for table, column, kind in connection.execute(
            "SELECT c.relname, a.attname, format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, NULL) "
            "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
            "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND a.attnum > 0 AND NOT a.attisdropped",
            (schema,),
        )
    }
    missing = [f"{table}.{column}" for table, column in required_columns() if (table, column) not in found]
    if missing:
        raise PostgresRefused(
            f"Postgres: schema {schema!r} lacks {', '.join(missing)} (see connectors/source/0001_tables.sql)"
        )
    return found


def _are_plain(connection: Connection, schema: str, tables: Sequence[str]) -> bool:
    """Whether each of these is one table, without partitions or tables that inherit from it."""
    row = connection.execute(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind = 'r' AND NOT c.relhassubclass",
        (schema, list(tables)),
    ).fetchone()
    return row is not None and row[0] == len(tables)


def required_columns() -> list[tuple[str, str]]:
    """(table, column) of everything that the look-ups read."""
    own: list[tuple[Table, tuple[str, ...]]] = [
        (SCORECARD, ("scorecard_id", "customer_id", "scorecard_type")),
        (SCORE, ("scorecard_id",)),
    ]
    copied = [(table.source, name) for table, extra in own for name in (*extra, *(c.name for c in table.columns))]
    return [*copied, (CHATS, "conversation_id"), (CHATS, "started_at")]


def _column(column: Column, kind: str) -> str:
    name = f"s.{quoted(column.name)}"
    match column.kind:
        case "time":
            # Refused then, and never NULL.
            return micros_of(name, beyond=_BEYOND)
        case "float":
            return float_of(name, kind)
        case "text":
            return text_of(name, kind)
        case "uuid":
            return f"{name}::text"
        case "int":
            return f"{name}::bigint"
        case _:
            return name


def _regclass(table: str) -> str:
    """A table, quoted and with its schema, as a constant.

    Postgres plans the statement again when the table is created again.
    """
    return "'" + table.replace("'", "''") + "'::regclass"


def _xid(alias: str) -> str:
    """The id of the transaction that wrote a row, in 64 bits: the newest id with these 32 bits up to now.xid."""
    return f"(now.xid - ((now.xid - {alias}.xmin::text::bigint) & 4294967295))"


def in_piece(piece: Piece) -> str:
    """A condition on the rows' own ids, as a format of `id`."""
    ending = "lower(right(s.{id}::text, 2))"
    listed = ", ".join(f"'{each}'" for each in piece.endings)  # hex digits
    others = f" OR {ending} !~ '^[0-9a-f]{{{{2}}}}$'" if piece.others else ""
    return f"({ending} IN ({listed}){others})"
