"""Slot and place in the WAL: what a recovery asks of Postgres, and the few statements that it runs.

Enters: a session. Leaves: values, or the change. `slot` and `server` need any role; the changes need one with
REPLICATION.
"""

from __future__ import annotations

from dataclasses import dataclass

from stream.pipeline.ordering import lsn_text
from stream.postgres.connection import LSN_NOW, Connection, is_readable
from stream.tables import HEARTBEAT, HORIZON, TARGETS, quoted

_MESSAGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Slot:
    """A logical replication slot. LSNs are bytes from 0/0.

    Attributes:
        confirmed: every change before it is in Kafka, as the connector has confirmed.
        lost: why Postgres invalidated it; empty while it can be read.
    """

    database: str
    active: bool
    confirmed: int
    lost: str = ""
    failover: bool = False


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The server that the DSN leads to.

    Attributes:
        version: as 180001.
        system: identifier that initdb gave; a standby has that of its primary.
        timeline: one more with each promotion.
        lsn: where the WAL is.
        xact_s: age of the oldest open transaction; a new slot waits for its end.
        foreign_horizon: the horizon has transaction ids that this server has not given out yet.
        rows: estimate, of both tables that are compared.
    """

    database: str
    version: int
    system: str
    timeline: int
    in_recovery: bool
    lsn: int
    xact_s: float
    foreign_horizon: bool
    rows: int


_SERVER = f"""
SELECT current_database(), current_setting('server_version_num')::int,
       (SELECT system_identifier::text FROM pg_control_system()),
       (SELECT timeline_id FROM pg_control_checkpoint()), pg_is_in_recovery(), ({LSN_NOW}),
       coalesce((SELECT extract(epoch FROM max(now() - xact_start)) FROM pg_stat_activity
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()), 0)::float8,
       (SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = ANY(%s))
"""
_SLOT = """
SELECT s.database::text, s.active, coalesce(s.confirmed_flush_lsn - '0/0'::pg_lsn, 0)::bigint,
       CASE WHEN s.wal_status = 'lost' THEN coalesce(to_jsonb(s) ->> 'invalidation_reason', 'wal_removed')
            ELSE coalesce(to_jsonb(s) ->> 'invalidation_reason', '') END,
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false)
FROM pg_replication_slots s WHERE s.slot_name = %s
"""


def has_streamed(connection: Connection, schema: str) -> bool:
    """Whether a connector has written its heartbeat: before the first start there is nothing to recover."""
    table = f"{quoted(schema)}.{quoted(HEARTBEAT)}"
    return is_readable(connection, table) and connection.execute(f"SELECT 1 FROM {table}").fetchone() is not None


def server(connection: Connection, schema: str) -> PostgresServer:
    """The server and its place in the WAL. Raises psycopg's errors."""
    row = connection.execute(_SERVER, (schema, [table.source for table in TARGETS])).fetchone()
    assert row is not None
    database, version, system, timeline, in_recovery, lsn, xact_s, rows = row
    horizon = f"{quoted(schema)}.{quoted(HORIZON)}"
    foreign = None
    if is_readable(connection, horizon):
        foreign = connection.execute(
            f"SELECT max(begun) > pg_snapshot_xmax(pg_current_snapshot())::text::bigint FROM {horizon} WHERE ended > 0"
        ).fetchone()
    return PostgresServer(
        database, version, system, timeline, in_recovery, lsn, xact_s, bool(foreign and foreign[0]), rows
    )


def slot(connection: Connection, name: str) -> Slot | None:
    """The slot of this name; None: there is none."""
    row = connection.execute(_SLOT, (name,)).fetchone()
    return None if row is None else Slot(*row)


def create_slot(connection: Connection, name: str) -> None:
    """Make the slot; Postgres first waits until every transaction of this moment has ended.

    From Postgres 17 on it is a failover slot, which standbys with sync_replication_slots copy.
    """
    row = connection.execute("SELECT current_setting('server_version_num')::int >= 170000").fetchone()
    more = ", failover => true" if row is not None and row[0] else ""
    connection.execute(f"SELECT pg_create_logical_replication_slot(%s, 'pgoutput'{more})", (name,))


def drop_slot(connection: Connection, name: str) -> None:
    """Drop the slot if it is there. Raises psycopg's ObjectInUse while a process reads it."""
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
    )


def end_reader(connection: Connection, name: str) -> None:
    """End the process that still reads the slot of a stopped connector."""
    connection.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s AND active", (name,)
    )


def pass_lsn(connection: Connection, lsn: int) -> None:
    """Write WAL that nobody reads until it is past this LSN: later changes then have higher ones."""
    while True:
        row = connection.execute(LSN_NOW).fetchone()
        assert row is not None
        missing = lsn - row[0]
        if missing < 0:
            return
        connection.execute(
            "SELECT pg_logical_emit_message(false, 'scorestream.recover', repeat('x', %s))",
            (min(_MESSAGE_BYTES, missing + 64),),
        )


def forget_horizon(connection: Connection, schema: str) -> None:
    """Make the horizon of another server say nothing: 0 stands for no transaction that has ended."""
    connection.execute(f"UPDATE {quoted(schema)}.{quoted(HORIZON)} SET ended = 0")


def text(lsn: int | None) -> str:
    """An LSN as Postgres writes it, or `none`."""
    return "none" if lsn is None else lsn_text(lsn)
