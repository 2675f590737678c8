"""The source tables and their publication: what the connector and the workers need of them, each fault with its SQL.

Enters: a connection as any role that may connect; the catalogs are open to all. Leaves: findings. Reads only.
`connectors apply` asks this before it starts the connector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stream.doctor import copies, published
from stream.doctor.finding import ERROR, WARNING, Checks, DoctorFinding
from stream.pipeline.types import TYPES, carried
from stream.postgres.connection import Connection
from stream.postgres.publication import publish_sql, unpublished
from stream.settings_sections import PostgresSettings
from stream.tables import (
    CHATS,
    HEARTBEAT,
    HORIZON,
    SCORE,
    SCORECARD,
    SIGNAL,
    SOURCES,
    TARGETS,
    Column,
    quoted,
)

CHECKS = Checks("postgres")
_RUN_SQL = "psql DATABASE -f connectors/source/0002_cdc.sql"  # as its header says
_GHOSTS = "a delete or a change of place does not say where the row stood, and it stays visible in ClickHouse"

TABLE = CHECKS.add(
    "table-missing",
    ERROR,
    "a source table, or one of the connector's own tables, is missing",
    "the connector or the workers' look-ups fail",
    _RUN_SQL,
)
IDENTITY = CHECKS.add(
    "replica-identity", ERROR, "a captured table, or a partition of one, has not REPLICA IDENTITY FULL", _GHOSTS
)
PUBLICATION = CHECKS.add(
    "publication-missing", ERROR, "the publication does not exist", "the connector fails at its start", _RUN_SQL
)
OPERATIONS = CHECKS.add(
    "publication-operations",
    ERROR,
    "the publication leaves out inserts, updates or deletes",
    "these changes never reach ClickHouse, without an error",
)
UNPUBLISHED = CHECKS.add(
    "publication-table",
    ERROR,
    "the publication does not list a table; a table that was replaced by a renamed one is such a table",
    "changes of the table never reach ClickHouse, without an error; run `scorestream verify --repair` afterwards",
)
ROOT = CHECKS.add(
    "publication-root",
    ERROR,
    "a captured table is partitioned, and publish_via_partition_root is off",
    "changes come under the names of the partitions, which the connector does not capture: they are lost",
)
COLUMN = CHECKS.add(
    "column-missing",
    ERROR,
    "a captured table lacks a column that is indexed: it was dropped or renamed",
    "messages without the column are refused and become dead letters",
)
NOT_CARRIED = CHECKS.add(
    "type-not-carried",
    ERROR,
    "a column has a type whose values are not carried (docs/reference/types.md)",
    "messages with values of this column are refused and become dead letters",
)
TRUNCATE = CHECKS.add(
    "truncate-trigger",
    WARNING,
    "a captured table, or a partition of one, lacks the trigger scorestream_truncate",
    "a TRUNCATE leaves its rows visible in ClickHouse until `scorestream verify --repair`",
)
INDEX = CHECKS.add(
    "index-missing",
    WARNING,
    "the look-up of a scorecard's scores or of a conversation's scorecards has no index",
    "each reindex reads the whole table, and the workers fall behind",
)

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
_UNREAD = {"score_id", "customer_id", "agent_user_id", "ended_at"}  # of connectors/source/0001_tables.sql
_TRUNCATE = "scorestream_truncate"  # the trigger of connectors/source/0002_cdc.sql


def examine(connection: Connection, settings: PostgresSettings) -> list[DoctorFinding]:
    """Everything that is wrong. Raises psycopg's errors."""
    tables = _tables(connection, settings.source_schema)
    found = []
    for table in (*SOURCES, SIGNAL, HEARTBEAT, HORIZON):
        if table not in tables:
            found.append(TABLE.found(f"no table {settings.source_schema}.{table}", _run_sql(connection)))
    there = {table: how for table, how in tables.items() if table in SOURCES}
    for table, identity in there.items():
        if identity != "f":
            sql = f"ALTER TABLE {_name(settings, table)} REPLICA IDENTITY FULL;"
            found.append(IDENTITY.found(f"{table} has no whole before-images", sql))
    found += _unpublished(connection, settings, sorted(set(tables) - {HORIZON}))
    found += _of_partitions(connection, settings, list(there))
    found += _not_carried(connection, settings)
    found += _untold_truncates(connection, settings, list(there))
    found += published.examine(connection, settings, list(there))
    found += copies.examine(connection, settings, list(there))
    found += _without_index(connection, settings, list(there))
    return found


def _tables(connection: Connection, schema: str) -> dict[str, str]:
    """Name -> replica identity: d(efault), f(ull), i(ndex), n(othing)."""
    rows = connection.execute(
        "SELECT c.relname, c.relreplident::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY(%s)",
        (schema, [*SOURCES, SIGNAL, HEARTBEAT, HORIZON]),
    )
    return dict(rows.fetchall())


def _unpublished(connection: Connection, settings: PostgresSettings, tables: list[str]) -> Iterator[DoctorFinding]:
    publication = settings.publication
    row = connection.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete, pubviaroot OR NOT EXISTS (SELECT FROM pg_partitioned_table p "
        "JOIN pg_class c ON c.oid = p.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY(%s)) FROM pg_publication WHERE pubname = %s",
        (settings.source_schema, list(SOURCES), publication),
    ).fetchone()
    if row is None:
        sql = publish_sql(publication, settings.source_schema, tables=None)
        yield PUBLICATION.found(f"no publication {publication}", sql)
        return
    if not row[0]:
        sql = f"ALTER PUBLICATION {quoted(publication)} SET (publish = 'insert, update, delete');"
        yield OPERATIONS.found(f"publication {publication} leaves out operations", sql)
    if not row[1]:
        sql = f"ALTER PUBLICATION {quoted(publication)} SET (publish_via_partition_root = true);"
        yield ROOT.found(f"publication {publication} publishes partitions under their own names", sql)
    for table in unpublished(connection, publication, settings.source_schema) or ():
        if table in tables:
            sql = publish_sql(publication, settings.source_schema, tables=(table,))
            yield UNPUBLISHED.found(f"publication {publication} leaves out {table}", sql)


def _untold_truncates(connection: Connection, settings: PostgresSettings, tables: list[str]) -> Iterator[DoctorFinding]:
    rows = connection.execute(
        "SELECT c.relname, t.tgenabled <> 'D' FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND t.tgname = %s",
        (settings.source_schema, _TRUNCATE),
    )
    enabled = dict(rows.fetchall())
    for table in sorted(set(tables) - {name for name, on in enabled.items() if on}):
        what = f"a TRUNCATE of {table} would leave its rows in ClickHouse (no trigger {_TRUNCATE})"
        whole = _name(settings, table)
        sql = f"ALTER TABLE {whole} ENABLE TRIGGER {_TRUNCATE};" if table in enabled else _trigger(settings, whole)
        yield TRUNCATE.found(what, sql)


def _trigger(settings: PostgresSettings, table: str) -> str:
    deletes = f"{quoted(settings.source_schema)}.scorestream_delete_first()"
    return f"CREATE TRIGGER {_TRUNCATE} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {deletes};"


def _of_partitions(connection: Connection, settings: PostgresSettings, tables: list[str]) -> Iterator[DoctorFinding]:
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
    for table, leaf, identity, has_trigger in rows.fetchall():
        if identity != "f":
            what = f"partition {leaf} of {table} has no whole before-images"
            yield IDENTITY.found(what, f"ALTER TABLE {leaf} REPLICA IDENTITY FULL;")
        if not has_trigger:
            what = f"a TRUNCATE of partition {leaf} would leave its rows in ClickHouse (no trigger {_TRUNCATE})"
            yield TRUNCATE.found(what, _trigger(settings, leaf))


def _not_carried(connection: Connection, settings: PostgresSettings) -> Iterator[DoctorFinding]:
    """Columns of a type whose values do not reach ClickHouse."""
    rows = connection.execute(
        "SELECT c.relname, a.attname, coalesce(b.typname, t.typname), coalesce(b.typtype, t.typtype) = 'e' "
        "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype "
        "WHERE n.nspname = %s AND c.relname = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped",
        (settings.source_schema, list(SOURCES)),
    )
    types = {(table, column): (kind, is_enum) for table, column, kind, is_enum in rows.fetchall()}
    present = {table for table, _ in types}
    for table, column in dict.fromkeys(_READ):
        kind, is_enum = types.get((table, column.name), (None, False))
        if kind is None and table in present:
            sql = (
                f"ALTER TABLE {_name(settings, table)} RENAME COLUMN {_renamed(table, types)} TO {quoted(column.name)};"
            )
            yield COLUMN.found(f"{settings.source_schema}.{table} has no column {column.name}", sql)
        if kind is None or carried(column, kind, is_enum=is_enum) is not None:
            continue
        may_be = list(TYPES[column.kind])
        what = f"{table}.{column.name} is of type {kind}, which is not carried ({', '.join(may_be)} are)"
        own, to = quoted(column.name), may_be[0]
        sql = f"ALTER TABLE {_name(settings, table)} ALTER COLUMN {own} TYPE {to} USING {own}::text::{to};"
        yield NOT_CARRIED.found(what, sql)


def _renamed(table: str, there: Iterable[tuple[str, str]]) -> str:
    """The one column of the table that nothing reads, or dots where there is none or a choice."""
    read = {(of, column.name) for of, column in _READ}
    strange = [name for of, name in there if of == table and (of, name) not in read and name not in _UNREAD]
    return quoted(strange[0]) if len(strange) == 1 else ".."


def _without_index(connection: Connection, settings: PostgresSettings, tables: list[str]) -> Iterator[DoctorFinding]:
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
            yield INDEX.found(f"each reindex reads all of {table}", sql)


def _run_sql(connection: Connection) -> str:
    at = connection.info
    return f"psql -h {at.host} -p {at.port} -U postgres -d {at.dbname} -f connectors/source/0002_cdc.sql"


def _name(settings: PostgresSettings, table: str) -> str:
    return f"{quoted(settings.source_schema)}.{quoted(table)}"
