"""Postgres as a store: opened once at the edge and handed down. It alone says what psycopg's errors mean.

Enters: the settings' `postgres` section. Leaves: read-only connections, and the package's errors. It sends no query of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import psycopg
from psycopg import IsolationLevel

from stream.errors import PostgresRefused, PostgresTimeout, PostgresUnavailable
from stream.postgres.pooler import is_pooled, is_shared
from stream.postgres.table_locks import table_locks
from stream.settings_sections import PostgresSettings
from stream.tables import LOOKED_UP, quoted

Connection = psycopg.Connection[Any]
DSN = "SCORESTREAM_POSTGRES_DSN"

# These pass by themselves: connection loss, restarts, timeouts, cancelled by a replica's recovery, out of connections.
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)
# The server answers: it ended the statement at statement_timeout or lock_timeout, or because `cancel` asked for it.
_ENDED = (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)
# A host that is cut off loses its session, and its locks, in half a minute. TCP's defaults take two hours.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
_KEEPALIVE_OF_SERVER = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4"

_CANCEL_S = 2.0
_ON_REQUEST = "user request"
_CAUSE_S = 2.0  # limit of the question why a statement took too long

# Row level security hides rows without an error; with `off` Postgres refuses a query that a policy would filter. The
# timeouts of the role and the database are off: a snapshot idles while ClickHouse answers, and a lock idles for hours.
# Older servers do not know all of them.
_SESSION = """SET timezone = 'UTC'; SET row_security = off;
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')"""

# On a replica "now" is the LSN that it has replayed. Otherwise the insert position counts: with synchronous_commit =
# off a transaction is visible before its commit record is written.
LSN_NOW = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END "
    "- '0/0'::pg_lsn)::bigint"
)


@contextmanager
def errors(what: str = "Postgres", *, cause: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn psycopg's errors into those of the package. The text has the first line of the server's answer.

    Args:
        cause: why a statement took longer than its limit, for the text; empty: not known.

    Raises:
        PostgresTimeout: a statement took longer than its limit.
        PostgresUnavailable: the connection broke, or a limit of the moment was reached.
        PostgresRefused: a later try changes nothing.
    """
    try:
        yield
    except _ENDED as error:
        text = f"{what}: {_first_line(error)}"
        if _ON_REQUEST in text:
            raise PostgresUnavailable(text) from error
        raise PostgresTimeout(text + cause()) from error
    except TRANSIENT as error:
        raise PostgresUnavailable(f"{what}: {_first_line(error)}") from error
    except psycopg.Error as error:
        raise PostgresRefused(f"{what} refused: {_first_line(error)}") from error


class Postgres:
    """The source database. `with`-able, for one thread.

    Questions one after another share one connection. A snapshot or a lock takes a session of its own.

    Args:
        statement_timeout_s: limit of one statement on the shared connection; default: the settings' limit.
        writes: connections may write; the role of the settings must be one that may.
        variable: setting that names server and role, for errors.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        *,
        statement_timeout_s: float | None = None,
        writes: bool = False,
        variable: str = DSN,
    ) -> None:
        self._settings = settings
        self._writes = writes
        self._variable = variable
        self._timeout_s = settings.statement_timeout_s if statement_timeout_s is None else statement_timeout_s
        self._shared: Connection | None = None
        self._opened: WeakSet[Connection] = WeakSet()

    @property
    def schema(self) -> str:
        """Schema of the source tables."""
        return self._settings.source_schema

    @property
    def database(self) -> str:
        """Name of the database, as the DSN gives it; libpq's default is the user's name."""
        found = psycopg.conninfo.conninfo_to_dict(self._settings.dsn)
        return str(found.get("dbname") or found.get("user") or "")

    @property
    def slot(self) -> str:
        """Name of the connector's replication slot."""
        return self._settings.slot

    @property
    def publication(self) -> str:
        """Name of the connector's publication."""
        return self._settings.publication

    @property
    def standby(self) -> bool:
        """Whether look-ups may go to a standby."""
        return self._settings.standby

    def table(self, name: str) -> str:
        """A source table with its schema, quoted."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    @contextmanager
    def asking(self, what: str = "Postgres") -> Iterator[Connection]:
        """The shared connection: the first question opens it, and reopens it after a loss.

        Raises:
            PostgresUnavailable, PostgresRefused: as `errors`; the connection is closed then.
        """
        try:
            with errors(what, cause=lambda: self._locks(self._shared)):
                if self._shared is None or self._shared.closed:
                    self._shared = self._connect(self._timeout_s)
                yield self._shared
        except (PostgresUnavailable, PostgresRefused) as error:
            if isinstance(error.__cause__, psycopg.Error):  # the server's answer, and no error of the caller
                self.close()
            raise

    @contextmanager
    def session(self, what: str = "Postgres", *, statement_timeout_s: float | None = None) -> Iterator[Connection]:
        """A connection of its own, closed at the end.

        Args:
            statement_timeout_s: limit of one statement; 0: no limit; default: as the shared connection.
        """
        limit = self._timeout_s if statement_timeout_s is None else statement_timeout_s
        with errors(what), self._connect(limit) as connection, errors(what, cause=lambda: self._locks(connection)):
            yield connection

    def holding(self) -> Connection:
        """A connection of its own for locks, kept alive by TCP; the caller closes it.

        Raises:
            PostgresUnavailable: no connection.
        """
        connection = self._connect(self._timeout_s, **_KEEPALIVE)
        with errors():
            connection.execute(_KEEPALIVE_OF_SERVER)
        return connection

    def _locks(self, connection: Connection | None) -> str:
        """Who locks a source table; empty: nobody, or it cannot be asked. The connection is closed afterwards."""
        found = []
        with suppress(psycopg.Error):
            if connection is not None:
                connection.execute(f"SET statement_timeout = {int(_CAUSE_S * 1000)}")
                found = [f"; {each}" for each in table_locks(connection, self.schema, LOOKED_UP)]
        return "".join(found)

    def _connect(self, statement_timeout_s: float, **more: Any) -> Connection:
        connection = connect(self._settings, statement_timeout_s=statement_timeout_s, variable=self._variable, **more)
        connection.read_only = not self._writes
        self._opened.add(connection)
        return connection

    def cancel(self) -> None:
        """Cancel the statements that run now: each raises PostgresUnavailable where it was sent. From any thread."""
        for connection in tuple(self._opened):
            with suppress(psycopg.Error):  # it has ended, or the server is away
                connection.cancel_safe(timeout=_CANCEL_S)

    def close(self) -> None:
        """Close the shared connection; the next question opens another."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def connect(
    settings: PostgresSettings, *, statement_timeout_s: float | None = None, variable: str = DSN, **more: Any
) -> Connection:
    """A read-only connection in autocommit, UTC, that sees every row or is refused. Each reads the password again.

    Raises:
        PostgresUnavailable: no connection; the text names host and user, never the password.
        PostgresRefused: the DSN is malformed, or leads to a pooler in transaction mode.
    """
    connection = _open(settings, variable, more)
    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    if is_pooled(connection):
        with closing(_open(settings, variable, more)) as other:
            shared = is_shared(connection, other)
        if shared:
            at = f"{connection.info.host}:{connection.info.port}"  # known until it is closed
            connection.close()
            raise PostgresRefused(
                f"a pooler in transaction mode answers at {at}, and loses the settings and locks of sessions; let "
                f"{variable} lead to the server itself, or to a pool with pool_mode = session"
            )
    limit = settings.statement_timeout_s if statement_timeout_s is None else statement_timeout_s
    connection.execute(f"SET statement_timeout = {int(limit * 1000)}")
    connection.execute(_SESSION)
    return connection


def _open(settings: PostgresSettings, variable: str, more: Mapping[str, Any]) -> Connection:
    options: dict[str, Any] = {"autocommit": True, "connect_timeout": 10, "application_name": "scorestream", **more}
    if settings.password is not None:
        options["password"] = settings.password.get_secret_value()
    try:
        return psycopg.connect(settings.dsn, **options)
    except psycopg.OperationalError as error:
        raise PostgresUnavailable(f"cannot connect to Postgres: {_first_line(error)}") from error
    except psycopg.Error as error:
        # libpq prints a malformed DSN whole, and it may contain a password.
        raise PostgresRefused(f"cannot connect to Postgres: {variable} is no connection string") from error


def is_readable(connection: Connection, table: str) -> bool:
    """Whether this table, quoted and with its schema, is there and may be read."""
    row = connection.execute(
        "SELECT coalesce(has_table_privilege(to_regclass(%s), 'SELECT'), false)", (table,)
    ).fetchone()
    return bool(row and row[0])


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
