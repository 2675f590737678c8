"""Which sessions lock a source table against readers. The catalogs alone are asked, so the question never waits.

Only ACCESS EXCLUSIVE keeps readers out. A session that still waits for this lock does so, too: readers queue behind it.
Leaves: values. Reads only; any role may ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

# Partitions and indexes count as their table: a reader waits for a lock of theirs as well.
_LOCKS = """
WITH RECURSIVE source AS (
    SELECT c.oid, n.nspname || '.' || c.relname AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = ANY(%s)
    UNION SELECT i.inhrelid, s.name FROM pg_inherits i JOIN source s ON s.oid = i.inhparent
), lockable AS (
    SELECT oid, name FROM source
    UNION SELECT x.indexrelid, s.name FROM source s JOIN pg_index x ON x.indrelid = s.oid
), lock AS (
    SELECT o.name, coalesce(l.pid, 0) AS pid, l.mode, l.granted, (to_jsonb(l) ->> 'waitstart')::timestamptz AS since
    FROM pg_locks l JOIN lockable o ON o.oid = l.relation
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT l.name, l.pid, coalesce(min(a.application_name), ''), coalesce(min(a.usename::text), ''),
       coalesce((SELECT extract(epoch FROM clock_timestamp() - min(w.since)) FROM lock w
                 WHERE w.name = l.name AND NOT w.granted AND w.mode = 'AccessShareLock'), 0)::float8
FROM lock l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.mode = 'AccessExclusiveLock' GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class TableLock:
    """A lock that keeps readers out.

    Attributes:
        table: with its schema.
        pid: of the session; 0: a prepared transaction, which has none.
        application, role: of the session; the application may be empty.
        waits_s: how long the oldest reader has waited; 0: none waits. Known since Postgres 14.
    """

    table: str
    pid: int
    application: str
    role: str
    waits_s: float

    def __str__(self) -> str:
        return f"{self.table} is locked by {self.holder}"

    @property
    def holder(self) -> str:
        """The session in words."""
        if not self.pid:
            return "a prepared transaction"
        of = f", role {self.role}" if self.role else ""
        return f"pid {self.pid} ({self.application or 'no application name'}{of})"

    @property
    def way_out(self) -> str:
        """The statement that ends the lock."""
        if not self.pid:
            return "SELECT gid, owner, prepared FROM pg_prepared_xacts; -- then ROLLBACK PREPARED or COMMIT PREPARED"
        return f"SELECT pg_terminate_backend({self.pid});"


def table_locks(connection: psycopg.Connection[Any], schema: str, tables: Sequence[str]) -> tuple[TableLock, ...]:
    """Every lock that keeps readers out of one of these tables. Raises psycopg's errors."""
    return tuple(TableLock(*row) for row in connection.execute(_LOCKS, (schema, list(tables))).fetchall())
