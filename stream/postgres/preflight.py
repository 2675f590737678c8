"""What Postgres must have before the connector starts: every fault at once, each with the SQL that corrects it.

Enters: a connection as any role that may connect; the catalogs are open to all. Leaves: Faults. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

from stream.pipeline.types import TYPES, carried
from stream.sections import PostgresSettings
from stream.tables import CHATS, HEARTBEAT, HORIZON, SCORE, SCORECARD, SIGNAL, SOURCES, TARGETS, Column, quoted

_INDEXED = ((SCORECARD.source, "conversation_id"), (SCORE.source, SCORECARD.id))
_READ = (
    *((table.source, column) for table in TARGETS for column in table.columns),
    (SCORECARD.source, Column(SCORECARD.id, "uuid")),
    (SCORECARD.source, Column("customer_id", "text")),
    (SCORECARD.source, Column("scorecard_type", "int")),
    (SCORE.source, Column(SCORECARD.id, "uuid")),
    (CHATS, Column("conversation_id", "uuid")),
    (CHATS, Column("started_at", "time")),
)
_CONNECTOR = "scorestream_cdc"  # the role of connectors/source/0002_cdc.sql
_TRUNCATE = "scorestream_truncate"  # the trigger of connectors/source/0002_cdc.sql


class Fault(NamedTuple):
    """A fault. `must`: the connector cannot work with it. The others make it slow, or leave rows for verify to find."""

    must: bool
    what: str
    sql: str

    def __str__(self) -> str:
        return f"{self.what}: {self.sql}"


def faults(connection: psycopg.Connection[Any], settings: PostgresSettings) -> list[Fault]:
    """All faults of this database. Raises psycopg's errors."""
    level = connection.execute("SHOW wal_level").fetchone()
    found = []
    if level is None or level[0] != "logical":
        found.append(Fault(True, "wal_level is not logical", "ALTER SYSTEM SET wal_level = 'logical'; and restart"))
    kept = connection.execute("SHOW max_slot_wal_keep_size").fetchone()
    if kept is not None and kept[0] == "-1":
        sql = "ALTER SYSTEM SET max_slot_wal_keep_size = '100GB'; SELECT pg_reload_conf();"
        found.append(Fault(False, "max_slot_wal_keep_size is not set: a stopped connector fills the disk", sql))
    tables = _tables(connection, settings.source_schema)
    for table in (*SOURCES, SIGNAL, HEARTBEAT, HORIZON):
        if table not in tables:
            found.append(
                Fault(True, f"no table {settings.source_schema}.{table}", "run connectors/source/0002_cdc.sql")
            )
    there = {table: how for table, how in tables.items() if table in SOURCES}
    for table, identity in there.items():
        if identity != "f":
            sql = f"ALTER TABLE {_name(settings, table)} REPLICA IDENTITY FULL;"
            found.append(Fault(True, f"{table} has no whole before-images", sql))
    found += _unpublished(connection, settings, sorted(set(tables) - {HORIZON}))
    found += _of_partitions(connection, settings, list(there))
    found += _not_carried(connection, settings)
    found += _hidden_rows(connection, settings, list(there))
    found += _untold_truncates(connection, settings, list(there))
    found += _without_index(connection, settings, list(there))
    return found


def _tables(connection: psycopg.Connection[Any], schema: str) -> dict[str, str]:
    """Name -> replica identity: d(efault), f(ull), i(ndex), n(othing)."""
    rows = connection.execute(
        "SELECT c.relname, c.relreplident::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY(%s)",
        (schema, [*SOURCES, SIGNAL, HEARTBEAT, HORIZON]),
    )
    return dict(rows.fetchall())


def _unpublished(connection: psycopg.Connection[Any], settings: PostgresSettings, tables: list[str]) -> Iterator[Fault]:
    publication = settings.publication
    row = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete FROM pg_publication WHERE pubname = %s", (publication,)
    ).fetchone()
    if row is None:
        yield Fault(True, f"no publication {publication}", "run connectors/source/0002_cdc.sql")
        return
    if not row[0]:
        sql = f"ALTER PUBLICATION {quoted(publication)} SET (publish = 'insert, update, delete');"
        yield Fault(True, f"publication {publication} leaves out operations", sql)
    published = connection.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s",
        (publication, settings.source_schema),
    )
    for table in sorted(set(tables) - {name for (name,) in published}):
        sql = f"ALTER PUBLICATION {quoted(publication)} ADD TABLE {_name(settings, table)};"
        yield Fault(True, f"publication {publication} leaves out {table}", sql)


def _hidden_rows(connection: psycopg.Connection[Any], settings: PostgresSettings, tables: list[str]) -> Iterator[Fault]:
    """Tables whose policies filter the rows that this role, or the connector's, reads.

    The connector's role is the one that streams from the slot, and that of 0002_cdc.sql.
    """
    rows = connection.execute(
        "SELECT r.rolname, array_agg(c.relname::text ORDER BY c.relname) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r "
        "WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls "
        "AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE')) "
        "AND (r.rolname IN (current_user, %s) OR r.oid IN (SELECT a.usesysid FROM pg_replication_slots s "
        "JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = %s)) GROUP BY 1 ORDER BY 1",
        (settings.source_schema, tables, _CONNECTOR, settings.slot),
    )
    for role, hidden in rows.fetchall():
        what = f"row level security of {', '.join(hidden)} hides rows from {role}"
        yield Fault(True, what, f"ALTER ROLE {quoted(role)} BYPASSRLS;")


def _untold_truncates(
    connection: psycopg.Connection[Any], settings: PostgresSettings, tables: list[str]
) -> Iterator[Fault]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND t.tgname = %s AND t.tgenabled <> 'D'",
        (settings.source_schema, _TRUNCATE),
    )
    for table in sorted(set(tables) - {name for (name,) in rows}):
        what = f"a TRUNCATE of {table} would leave its rows in ClickHouse (no trigger {_TRUNCATE})"
        yield Fault(False, what, "run connectors/source/0002_cdc.sql, or verify --repair after one")


def _of_partitions(
    connection: psycopg.Connection[Any], settings: PostgresSettings, tables: list[str]
) -> Iterator[Fault]:
    """Leaves of partitioned tables.

    Postgres logs a change with the leaf's replica identity, and a leaf inherits none.
    """
    rows = connection.execute(
        "SELECT c.relname, format('%%I.%%I', m.nspname, leaf.relname), leaf.relreplident::text, EXISTS (SELECT "
        "FROM pg_trigger t WHERE t.tgrelid = leaf.oid AND t.tgname = %s AND t.tgenabled <> 'D') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "CROSS JOIN LATERAL pg_partition_tree(c.oid) p JOIN pg_class leaf ON leaf.oid = p.relid "
        "JOIN pg_namespace m ON m.oid = leaf.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY(%s) AND p.isleaf AND leaf.oid <> c.oid ORDER BY 1, 2",
        (_TRUNCATE, settings.source_schema, tables),
    )
    for table, leaf, identity, told in rows.fetchall():
        if identity != "f":
            what = f"partition {leaf} of {table} has no whole before-images"
            yield Fault(True, what, f"ALTER TABLE {leaf} REPLICA IDENTITY FULL;")
        if not told:
            what = f"a TRUNCATE of partition {leaf} would leave its rows in ClickHouse (no trigger {_TRUNCATE})"
            deletes = f"{quoted(settings.source_schema)}.scorestream_delete_first()"
            sql = f"CREATE TRIGGER {_TRUNCATE} BEFORE TRUNCATE ON {leaf} FOR EACH STATEMENT EXECUTE FUNCTION {deletes};"
            yield Fault(False, what, sql)


def _not_carried(connection: psycopg.Connection[Any], settings: PostgresSettings) -> Iterator[Fault]:
    """Columns of a type whose values do not reach ClickHouse."""
    rows = connection.execute(
        "SELECT c.relname, a.attname, coalesce(b.typname, t.typname), coalesce(b.typtype, t.typtype) = 'e' "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype "
        "WHERE n.nspname = %s AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped",
        (settings.source_schema, list(SOURCES)),
    )
    types = {(table, column): (kind, is_enum) for table, column, kind, is_enum in rows.fetchall()}
    for table, column in _READ:
        kind, is_enum = types.get((table, column.name), (None, False))
        if kind is None or carried(column, kind, is_enum=is_enum) is not None:
            continue
        may_be = list(TYPES[column.kind])
        what = f"{table}.{column.name} is of type {kind}, which is not carried ({', '.join(may_be)} are)"
        sql = f"ALTER TABLE {_name(settings, table)} ALTER COLUMN {quoted(column.name)} TYPE {may_be[0]};"
        yield Fault(True, what, sql)


def _without_index(
    connection: psycopg.Connection[Any], settings: PostgresSettings, tables: list[str]
) -> Iterator[Fault]:
    for table, column in _INDEXED:
        if table not in tables:
            continue
        row = connection.execute(
            "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] "
            "WHERE n.nspname = %s AND c.relname = %s AND a.attname = %s AND i.indisvalid AND i.indpred IS NULL",
            (settings.source_schema, table, column),
        ).fetchone()
        if row is None:
            sql = f"CREATE INDEX CONCURRENTLY ON {_name(settings, table)} ({quoted(column)});"
            yield Fault(False, f"each reindex reads all of {table}", sql)


def _name(settings: PostgresSettings, table: str) -> str:
    return f"{quoted(settings.source_schema)}.{quoted(table)}"
