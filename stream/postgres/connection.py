"""Connections to Postgres: how they are opened, and what psycopg's errors mean to the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import IsolationLevel

from stream.config import PostgresSettings
from stream.errors import PostgresRefused, PostgresUnavailable

# What passes by itself: connection loss, restarts, timeouts, cancelled by a replica's recovery, out of connections.
_TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)


def connect(settings: PostgresSettings) -> psycopg.Connection[Any]:
    """A read-only connection in autocommit.

    Raises:
        PostgresUnavailable: no connection; the text names host and user, never the password.
    """
    options: dict[str, Any] = {"autocommit": True, "connect_timeout": 10, "application_name": "scorestream"}
    if settings.password is not None:
        options["password"] = settings.password.get_secret_value()
    try:
        connection = psycopg.connect(settings.dsn, **options)
    except psycopg.OperationalError as error:
        raise PostgresUnavailable(f"cannot connect to Postgres: {str(error).splitlines()[0]}") from error
    except psycopg.Error as error:
        raise PostgresRefused(f"cannot connect to Postgres: {error}") from error
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.execute(f"SET statement_timeout = {int(settings.statement_timeout_s * 1000)}")
    connection.execute("SET timezone = 'UTC'")
    return connection


@contextmanager
def postgres_errors() -> Iterator[None]:
    """What psycopg raises inside, as the package's errors."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise PostgresUnavailable(f"Postgres: {str(error).splitlines()[0]}") from error
    except psycopg.Error as error:
        raise PostgresRefused(f"Postgres refused: {str(error).splitlines()[0]}") from error


# On a replica "now" is what it has replayed. The insert position, because with synchronous_commit = off a transaction
# is visible before its commit record is written.
LSN_NOW = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END "
    "- '0/0'::pg_lsn)::bigint"
)


def quoted(identifier: str) -> str:
    """An identifier for Postgres."""
    return '"' + identifier.replace('"', '""') + '"'
