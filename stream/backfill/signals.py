"""Postgres' side of a backfill: signals to Debezium, the lock that lets one process send them, counts beforehand.

Enters: settings and signals. Leaves: rows of the signal table, counts. Writes to the signal table only.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import errors as pg

from stream.backfill.plan import signal_table
from stream.config import Settings
from stream.errors import PostgresRefused, PostgresUnavailable, UsageError
from stream.tables import SIGNAL

_TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)


class Signals:
    """Writes signals. `with`-able, for one thread; the connection is opened again after a loss.

    Every method raises PostgresUnavailable when Postgres is away, PostgresRefused when it refuses.
    """

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            UsageError: no role is named that may write signals.
        """
        dsn = settings.backfill.dsn
        if dsn is None:
            raise UsageError(
                "SCORESTREAM_BACKFILL_DSN is not set: a backfill writes signals, which the read-only role of "
                f"SCORESTREAM_POSTGRES_DSN may not; name a role with INSERT on {settings.postgres.source_schema}."
                f"{SIGNAL} (scorestream_cdc has it), and its SCORESTREAM_BACKFILL_PASSWORD"
            )
        self._dsn = dsn
        self._settings = settings
        self._table = signal_table(settings.postgres.source_schema)
        self._connection: psycopg.Connection[Any] | None = None
        self._key = zlib.crc32(f"scorestream backfill {settings.connect.connector}".encode())
        self._locked = False

    def lock(self) -> bool:
        """Become the only process that drives backfills of this connector. False: another one is.

        The lock is of the connection: whoever is killed lets go of it.
        """
        with self._asking() as connection:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
        self._locked = bool(row and row[0])
        return self._locked

    def holds(self) -> bool:
        """Whether the lock is still held; taken again after a lost connection."""
        if self._connection is None or self._connection.closed:
            return self.lock()
        with self._asking() as connection:
            connection.execute("SELECT 1")
        return self._locked

    def send(self, signal_id: str, kind: str, data: str) -> int:
        """Write a signal unless one with this id is there. Returns an LSN behind it."""
        with self._asking() as connection:
            connection.execute(
                f"INSERT INTO {self._table} (id, type, data) SELECT %s, %s, %s "
                f"WHERE NOT EXISTS (SELECT FROM {self._table} WHERE id = %s)",
                (signal_id, kind, data, signal_id),
            )
            row = connection.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
        assert row is not None
        return int(row[0])

    def check(self) -> None:
        """Whether a signal would reach the connector.

        Raises:
            UsageError: with each fault and the way out.
        """
        schema, publication = self._settings.postgres.source_schema, self._settings.postgres.publication
        with self._asking() as connection:
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

    def _check_database(self, connection: psycopg.Connection[Any]) -> None:
        """Whether it is the database that the connector reads: its slot belongs to it."""
        slot = self._settings.postgres.slot
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
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def _asking(self) -> Iterator[psycopg.Connection[Any]]:
        options: dict[str, Any] = {
            "autocommit": True,
            "connect_timeout": 10,
            "application_name": "scorestream-backfill",
            "keepalives_idle": 30,
        }
        if (password := self._settings.backfill.password) is not None:
            options["password"] = password.get_secret_value()
        try:
            if self._connection is None or self._connection.closed:
                self._locked = False
                self._connection = psycopg.connect(self._dsn, **options)
            yield self._connection
        except (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction) as error:
            raise PostgresRefused(
                f"the role of SCORESTREAM_BACKFILL_DSN may not write signals: {str(error).splitlines()[0]}"
            ) from error
        except _TRANSIENT as error:
            self.close()
            raise PostgresUnavailable(f"Postgres (SCORESTREAM_BACKFILL_DSN): {str(error).splitlines()[0]}") from error
        except psycopg.Error as error:
            raise PostgresRefused(f"Postgres refused a signal: {str(error).splitlines()[0]}") from error
