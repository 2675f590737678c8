"""Sessions of Postgres that are in the way: of the slot, by a long transaction, or of look-ups, by a lock.

Enters: a session as any role. Leaves: findings, each with the statement that ends the other session. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream.doctor.finding import ERROR, WARNING, Checks, DoctorFinding
from stream.postgres.connection import Connection, is_readable
from stream.postgres.table_locks import table_locks
from stream.retry import poll
from stream.settings_sections import PostgresSettings
from stream.tables import HORIZON, LOOKED_UP, quoted
from stream.times import duration

CHECKS = Checks("postgres")
LOCKED = CHECKS.add(
    "table-locked",
    ERROR,
    "a session holds or awaits ACCESS EXCLUSIVE on a source table, so that no one can read it",
    "look-ups wait, and the workers commit nothing; the other checks of the tables wait, too, and are left out",
)
TRANSACTION = CHECKS.add(
    "transaction-long",
    WARNING,
    "a transaction is open for long",
    "the slot cannot move past its start: WAL piles up, and a restart of the connector reads all of it again",
)
PREPARED = CHECKS.add(
    "transaction-prepared",
    WARNING,
    "a prepared transaction is open for long; no session ends it",
    "the slot cannot move past its start: WAL piles up until Postgres drops the slot",
)

_BRIEF_S = 1.0
_LOOK_S = 0.2
# Another role's start of a transaction is hidden from a role without pg_read_all_stats; its id is not. The horizon
# tells when that id had not been given out yet: at every second whose `begun` is not above it.
_OPEN = """
SELECT a.pid, a.usename, a.datname, coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), {seen})::float8
FROM pg_stat_activity a WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid() ORDER BY 4 DESC NULLS LAST
"""
_SEEN = """(SELECT max((extract(epoch FROM now())::bigint % 86400 - h.second + 86400) % 86400) FROM {horizon} h
    WHERE h.begun > pg_snapshot_xmax(pg_current_snapshot())::text::bigint - age(a.backend_xid))"""
_PREPARED = """
SELECT gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts
"""


def locked(connection: Connection, settings: PostgresSettings) -> list[DoctorFinding]:
    """Tables that are locked for longer than a change of the schema takes."""
    schema = settings.source_schema
    locks = poll(
        lambda: table_locks(connection, schema, LOOKED_UP), lambda now: not now, timeout_s=_BRIEF_S, every_s=_LOOK_S
    )
    return [LOCKED.found(f"{each}; look-ups wait", each.way_out) for each in locks]


def transactions(connection: Connection, settings: PostgresSettings, limit_s: float) -> Iterator[DoctorFinding]:
    """Transactions that are open for longer than `limit_s`."""
    horizon = f"{quoted(settings.source_schema)}.{quoted(HORIZON)}"
    seen = _SEEN.format(horizon=horizon) if is_readable(connection, horizon) else "NULL"
    for pid, role, database, age_s in connection.execute(_OPEN.format(seen=seen)).fetchall():
        if age_s is not None and age_s >= limit_s:
            what = f"a transaction of {role} in {database} (pid {pid}) is open for {duration(age_s)}"
            yield TRANSACTION.found(what, f"SELECT pg_terminate_backend({pid});")
    for gid, role, database, age_s in connection.execute(_PREPARED).fetchall():
        if age_s >= limit_s:
            text = gid.replace("'", "''")
            what = f"prepared transaction {gid} of {role} in {database} is open for {duration(age_s)}"
            yield PREPARED.found(what, f"ROLLBACK PREPARED '{text}'; -- or COMMIT PREPARED, in database {database}")
