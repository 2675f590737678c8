"""Signals to Debezium, as rows of a table in Postgres, and the lock that lets one process drive a backfill.

Enters: signals. Leaves: rows of the signal table. It writes to no other table.
"""

from __future__ import annotations

from typing import Self

from stream.backfill.plan import signal_table
from stream.errors import UsageError
from stream.postgres.connection import Connection, Postgres
from stream.postgres.lock import LockSpace
from stream.tables import SIGNAL

_DRIVER = 0  # the lock's number
_ROLE = "Postgres (SCORESTREAM_BACKFILL_DSN)"


class Signals:
    """Writes signals. `with`-able, for one thread.

    Args:
        postgres: as a role that may write signals; opened and closed by the caller.
        connector: name of the connector, of which one process at a time drives a backfill.
        publication: the connector's publication.

    Every method raises PostgresUnavailable when Postgres is away, PostgresRefused when it refuses.
    """

    def __init__(self, postgres: Postgres, *, connector: str, publication: str) -> None:
        self._postgres = postgres
        self._publication = publication
        self._table = signal_table(postgres.schema)
        self._locks = LockSpace(postgres, f"scorestream backfill {connector}", what="lock of the backfill")

    def lock(self) -> bool:
        """Become the only process that drives backfills of this connector. False: another one is."""
        return self._locks.claim(_DRIVER)

    def holds(self) -> bool:
        """Whether this process still holds the lock; taken again after a lost connection."""
        self._locks.check()
        return _DRIVER in self._locks.held

    def send(self, signal_id: str, kind: str, data: str) -> int:
        """Write a signal unless one with this id is there. Returns an LSN behind it."""
        with self._postgres.asking(_ROLE) as connection:
            connection.execute(
                f"INSERT INTO {self._table} (id, type, data) SELECT %s, %s, %s "
                f"WHERE NOT EXISTS (SELECT FROM {self._table} WHERE id = %s)".encode(),
                (signal_id, kind, data, signal_id),
            )
            row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
        assert row is not None
        return int(row[0])

    def check(self) -> None:
        """Whether a signal would reach the connector.

        Raises:
            UsageError: with each fault and the way out.
        """
        schema, publication = self._postgres.schema, self._publication
        with self._postgres.asking(_ROLE) as connection:
            self._check_database(connection)
            there = connection.execute("SELECT to_regclass(%s)", (self._table,)).fetchone()
            if there is None or there[0] is None:
                raise UsageError(f"Postgres has no table {schema}.{SIGNAL}: run connectors/source/0002_cdc.sql")
            may = connection.execute(
                "SELECT has_table_privilege(%s, 'INSERT') AND has_table_privilege(%s, 'SELECT'), current_user",
                (self._table, self._table),
            ).fetchone()
            if may is None or not may[0]:
                role = may[1] if may else "the role of SCORESTREAM_BACKFILL_DSN"
                raise UsageError(
                    f"role {role} may not write signals: GRANT SELECT, INSERT ON {schema}.{SIGNAL} TO {role}"
                )
            published = {
                table
                for (table,) in connection.execute(
                    "SELECT tablename FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s",
                    (publication, schema),
                )
            }
        if SIGNAL not in published:
            raise UsageError(
                f"{schema}.{SIGNAL} is not in publication {publication}, so the connector sees no signal: "
                f"ALTER PUBLICATION {publication} ADD TABLE {schema}.{SIGNAL}"
            )

    def _check_database(self, connection: Connection) -> None:
        """Check that it is the database that the connector reads: its slot belongs to it."""
        slot = self._postgres.slot
        own, of_slot = connection.execute(
            "SELECT current_database(), (SELECT database::text FROM pg_replication_slots WHERE slot_name = %s)", (slot,)
        ).fetchone() or ("", None)
        if of_slot != own:
            where = "in another server" if of_slot is None else f"in database {of_slot}"
            raise UsageError(
                f"SCORESTREAM_BACKFILL_DSN leads to database {own}, and the connector's slot {slot} is {where}, so the "
                "connector would see no signal: name the database of SCORESTREAM_POSTGRES_DSN, on the primary"
            )

    def close(self) -> None:
        """Let go of the lock."""
        self._locks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
