"""Postgres (psycopg): look-ups of places, and rows for a reindex.

Enters: ids. Leaves: places and rows, as they are in Postgres now. Each batch takes one query, regardless of its size.
Results are matched by position, so the ids' spelling does not matter. Reads only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from stream.errors import PostgresRefused, PostgresUnavailable
from stream.pipeline.placement import GONE, Place, place_of
from stream.pipeline.reindex import Snapshot
from stream.pipeline.visibility import hidden
from stream.postgres import row_versions
from stream.postgres.connection import Connection, Postgres, is_readable
from stream.postgres.defining_query import event_time, float_of, is_process, link_as, micros_of, text_of
from stream.postgres.row_versions import Seen
from stream.retry import poll
from stream.tables import CHATS, HORIZON, SCORE, SCORECARD, TARGETS, Column, Table, quoted
from stream.times import POSTGRES_EPOCH_US

# Type names that mean less than the type: `character` alone is character(1), and would cut an id to its first digit.
_SHORT = {"character": "bpchar", "real": "float4"}
_BEYOND = str(2**63 - 1)
# A synchronous standby acknowledges within milliseconds. A longer wait is retried with backoff, and logged.
_VISIBLE_S = 1.0
_POLL_S = 0.005
# `age` counts from the id that is given out next; 3 is the first that a transaction can have.
_SNAPSHOT = (
    "SELECT pg_current_snapshot()::text, pg_is_in_recovery(), "
    "CASE WHEN NOT pg_is_in_recovery() THEN (3 + age('3'::xid)::bigint) & 4294967295 END"
)
# A primary may have sent what a standby has not received. A standby that is further behind than this is of no use.
_BEHIND_BYTES = 1 << 30
_POSITION = (
    "SELECT (CASE WHEN pg_is_in_recovery() "
    f"THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn + {_BEHIND_BYTES} "
    "ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END)::bigint"
)
_INFINITE = {2**63 - 1, -(2**63)}


class PostgresSource:
    """Look-ups over a store's shared connection. Not for several threads."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._sql: _Statements | None = None

    def close(self) -> None:
        """Close the connection; the next look-up opens another."""
        self._postgres.close()

    def connect(self) -> None:
        """Open the connection now, so that the first look-up does not wait for it."""
        with self._reading():
            pass

    def expect(self, transactions: Collection[int]) -> None:
        """Return when this connection sees all these transactions.

        Args:
            transactions: 32-bit ids, as Debezium sends them.

        Raises:
            PostgresUnavailable: one is not visible within a second, or the server is a standby and may not be.
        """
        awaited = poll(
            lambda: self._hidden(transactions), lambda xid: xid is None, timeout_s=_VISIBLE_S, every_s=_POLL_S
        )
        if awaited is not None:
            raise PostgresUnavailable(
                f"Postgres look-up: transaction {awaited} is not visible yet (a synchronous standby has not "
                "acknowledged it, or this server lags behind)"
            )

    def _hidden(self, transactions: Collection[int]) -> int | None:
        """One of the transactions that this connection does not see yet; None: it sees all."""
        with self._reading() as (connection, _):
            row = connection.execute(_SNAPSHOT).fetchone()
        assert row is not None
        snapshot, standby, following = row
        if standby and not self._postgres.standby:
            raise PostgresUnavailable(
                "Postgres look-up: the server is a standby, and rows may be missing there. Name the primary in "
                "SCORESTREAM_POSTGRES_DSN (target_session_attrs=read-write), or set "
                "SCORESTREAM_POSTGRES_STANDBY=true to wait for the standby at each batch"
            )
        return next((xid for xid in transactions if hidden(xid, snapshot, following)), None)

    def is_primary(self) -> bool:
        """Whether the server is no standby."""
        with self._reading() as (connection, _):
            row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
        return bool(row and row[0])

    def position(self) -> int:
        """Where the WAL ends, in bytes. Of a standby: what the primary may have written by now."""
        with self._reading() as (connection, _):
            row = connection.execute(_POSITION).fetchone()
        assert row is not None
        return int(row[0])

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        """The present place of each scorecard. Scorecards that Postgres does not have are missing."""
        with self._reading() as (connection, sql):
            return _places(connection, sql, ids)

    def owners(self, ids: Sequence[str]) -> dict[str, str]:
        """The customer of each scorecard, without a look at its conversation.

        Scorecards that Postgres lacks are missing.
        """
        with self._reading() as (connection, sql):
            return {ids[at - 1]: customer_id for at, customer_id in _rows(connection, sql.owners, ids)}

    def moved(self, expected: Mapping[str, Place], looked: Mapping[str, Place]) -> dict[str, Place]:
        """The present places of the scorecards that are not in their expected places.

        Where `looked`, an earlier result of `places`, has the expected place and nobody wrote the rows since, no
        look-up is needed.
        """
        with self._reading() as (connection, sql):
            still: set[str] = set()
            if isinstance(looked, _Looked) and looked.connection is connection and sql.changed is not None:
                known, seen = looked.seen(expected)
                written = row_versions.changed(connection, sql.changed, seen, looked.files)
                still = set(known) - {known[at] for at in written}
            rest = [scorecard_id for scorecard_id in expected if scorecard_id not in still]
            now = _places(connection, sql, rest)
        return {i: now.get(i, GONE) for i in rest if now.get(i, GONE) != expected[i]}

    def scorecards_of(self, conversations: Sequence[str]) -> list[tuple[str, str, bool]]:
        """(conversation id as given, scorecard id, covered) of all scorecards of these conversations.

        `covered`: each transaction that wrote the scorecard or a score of it last either wrote the conversation, or
        began after the conversation was visible. So the process that handles those changes looks up later, and finds
        the conversation.

        Transaction ids do not have the order of commits. A horizon between the two (connectors/source/0002_cdc.sql)
        decides. Ids have 32 bits: for a row that nobody wrote for 4,000,000,000 transactions nothing is certain.
        """
        with self._reading() as (connection, sql):
            rows = _rows(connection, sql.scorecards_of, conversations)
            return [(conversations[at - 1], scorecard_id, covered) for at, scorecard_id, covered in rows]

    def snapshot(self, ids: Sequence[str]) -> Snapshot:
        """These scorecards and their scores as of one moment: one REPEATABLE READ transaction."""
        with self._reading() as (connection, sql), connection.transaction():
            places = _places(connection, sql, ids)
            rows = {
                table.target: [(ids[at - 1], *values) for at, *values in _rows(connection, sql.rows[table.target], ids)]
                for table in TARGETS
            }
        return Snapshot(places, rows)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, _Statements]]:
        with self._postgres.asking("Postgres look-up") as connection:
            if self._sql is None:
                self._sql = _Statements(connection, self._postgres.schema)
            yield connection, self._sql


class _Looked(dict[str, Place]):
    """Places, with the row versions that they were read from."""

    def __init__(self, connection: Connection, ids: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
        super().__init__({ids[row[0] - 1]: _place(*row[1:5]) for row in rows})
        self.connection = connection  # another server may have other row versions
        self._ids = ids
        self._rows = rows
        self.files = rows[0][5] if rows else 0  # of one statement, so all rows have the same

    def seen(self, expected: Mapping[str, Place]) -> tuple[list[str], list[Seen]]:
        """The scorecards that are expected where they were seen, and the row versions of that look."""
        ids, seen = [], []
        for row in self._rows:
            scorecard_id = self._ids[row[0] - 1]
            place = self[scorecard_id]
            version = row[6:]
            # A waiting scorecard has no conversation row yet, and no row version can show that one has arrived.
            if (version[2] is not None or place.is_process) and expected.get(scorecard_id) == place:
                ids.append(scorecard_id)
                seen.append(version)
        return ids, seen


def _places(connection: Connection, sql: _Statements, ids: Sequence[str]) -> _Looked:
    return _Looked(connection, ids, _rows(connection, sql.places, ids))


def _place(customer_id: str, kind: int | None, process: bool, time: bytes | None) -> Place:
    time_us = None
    if time is not None and (sent := int.from_bytes(time, "big", signed=True)) not in _INFINITE:
        time_us = sent + POSTGRES_EPOCH_US
    return place_of(customer_id=customer_id, scorecard_type=kind, process=process, event_time_us=time_us)


def _rows(connection: Connection, query: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
    # One array literal costs a tenth of adapting a list of UUIDs. The ids were checked to be UUIDs; quotes in other ids
    # are escaped all the same.
    if not ids:
        return []
    quoted = ids if _are_bare(ids) else map(_quoted, ids)
    literal = "{" + ",".join(quoted) + "}"
    with connection.cursor(binary=True) as cursor:
        row_versions.load_as_sent(cursor.adapters)
        return cursor.execute(query.encode(), (literal,), prepare=True).fetchall()


def _are_bare(texts: Sequence[str]) -> bool:
    """Whether these need no quotes in an array literal, as UUIDs do not."""
    return all(texts) and "".join(texts).replace("-", "").isalnum()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Statements:
    """The look-ups' SQL, for the types of the source's columns: ids may be uuid or text there."""

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
