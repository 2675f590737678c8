"""Which Postgres cluster answers, and how far its WAL is. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from stream.postgres.connection import Connection

_POSITION = (
    "SELECT pg_is_in_recovery(), (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
    "ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint, "
    "CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_flush_lsn()) END, "
    "has_function_privilege('pg_control_system()', 'EXECUTE')"
)
_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Postgres cluster at one moment.

    Attributes:
        identifier: made by initdb, kept by physical copies; None where the role may not see it.
        timeline: one higher after each promotion; None on a standby.
        lsn: flushed, or replayed on a standby: what survives a crash.
        is_standby: its LSN may be behind that of another server of the same cluster.
    """

    identifier: int | None
    timeline: int | None
    lsn: int
    is_standby: bool = False


def cluster(connection: Connection) -> Cluster:
    """The cluster behind a connection. Raises psycopg's errors."""
    row = connection.execute(_POSITION).fetchone()
    assert row is not None
    is_standby, lsn, file, may_see = row
    identifier = None
    if may_see and (found := connection.execute(_IDENTIFIER).fetchone()) is not None:
        identifier = int(found[0])
    # The name of a WAL file begins with its timeline, in 8 hex digits.
    return Cluster(identifier, None if file is None else int(file[:8], 16), int(lsn or 0), bool(is_standby))
