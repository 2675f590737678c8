"""Postgres (psycopg): look-ups of places, and rows for a reindex.

Enters: ids. Leaves: places and rows, as they are in Postgres now. Each batch takes one query, regardless of its size.
Results are matched by position, so the ids' spelling does not matter. Reads only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from stream.errors import PostgresUnavailable
from stream.pipeline.pieces import Piece
from stream.pipeline.placement import GONE, Place, place_of
from stream.pipeline.stored import Snapshot
from stream.pipeline.visibility import hidden
from stream.postgres import row_versions
from stream.postgres.connection import Connection, Postgres
from stream.postgres.defining_query import as_stored, source_of
from stream.postgres.row_versions import Seen
from stream.postgres.statements import Statements, in_piece
from stream.retry import poll
from stream.tables import TARGETS
from stream.times import POSTGRES_EPOCH_US

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
        self._sql: Statements | None = None

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

    def lacking(self, scores: Sequence[str], scorecards: Sequence[str]) -> list[int]:
        """Indexes of the scores that do not stand in the scorecard at the same index, or nowhere."""
        perhaps = list(range(len(scores)))
        with self._reading() as (connection, sql):
            for query in (sql.perhaps_lacking, sql.lacking):  # the second knows, and is asked of few
                if not perhaps:
                    return []
                arrays = _array([scores[at] for at in perhaps]), _array([scorecards[at] for at in perhaps])
                found = connection.execute(query.encode(), arrays, prepare=True)
                perhaps = [perhaps[at] for (at,) in found]
        return sorted(perhaps)

    def spelled(self, ids: Sequence[str]) -> list[str]:
        """These ids, canonical UUIDs, as Postgres spells them; one that it lacks stays as it is."""
        with self._postgres.asking("Postgres look-up") as connection:
            return as_stored(connection, source_of(connection, self._postgres.schema), ids)

    def snapshot(self, ids: Sequence[str], *, piece: Piece | None = None, most: int | None = None) -> Snapshot:
        """These scorecards and their scores as of one moment: one REPEATABLE READ transaction.

        Args:
            piece: only the rows of this piece.
            most: most rows of each table.
        """
        query = "{}" if piece is None else "{} WHERE " + in_piece(piece)
        with self._reading() as (connection, sql), connection.transaction():
            places = _places(connection, sql, ids)
            rows = {}
            for table in TARGETS:
                wanted = query.format(sql.rows[table.target], id=table.id) + ("" if most is None else f" LIMIT {most}")
                rows[table.target] = [(ids[at - 1], *values) for at, *values in _rows(connection, wanted, ids)]
        return Snapshot(places, rows)

    def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """How many rows each of these scorecards has, scores and its own. Scorecards without any are missing."""
        found: dict[str, int] = {}
        with self._reading() as (connection, sql):
            for query in sql.sizes:
                for at, count in _rows(connection, query, ids):
                    found[ids[at - 1]] = found.get(ids[at - 1], 0) + count
        return found

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection, Statements]]:
        with self._postgres.asking("Postgres look-up") as connection:
            if self._sql is None:
                self._sql = Statements(connection, self._postgres.schema)
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


def _places(connection: Connection, sql: Statements, ids: Sequence[str]) -> _Looked:
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
    with connection.cursor(binary=True) as cursor:
        row_versions.load_as_sent(cursor.adapters)
        return cursor.execute(query.encode(), (_array(ids),), prepare=True).fetchall()


def _array(texts: Sequence[str]) -> str:
    """An array literal of Postgres."""
    return "{" + ",".join(texts if _are_bare(texts) else map(_quoted, texts)) + "}"


def _are_bare(texts: Sequence[str]) -> bool:
    """Whether these need no quotes in an array literal, as UUIDs do not."""
    return all(texts) and "".join(texts).replace("-", "").isalnum()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
