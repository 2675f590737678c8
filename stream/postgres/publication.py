"""The publication: which tables it leaves out, whose changes are not streamed, and the statements that publish them.

Enters: a session. Leaves: names of tables, or SQL for their owner. Changes nothing.
"""

from __future__ import annotations

from typing import Any

import psycopg

from stream.tables import HEARTBEAT, SIGNAL, SOURCES, quoted

PUBLISHED = (*SOURCES, SIGNAL, HEARTBEAT)


def unpublished(connection: psycopg.Connection[Any], publication: str, schema: str) -> tuple[str, ...] | None:
    """The tables that the publication leaves out; None: there is no such publication.

    A publication follows a table, not a name. When another table takes the name by a rename, none of its changes is
    published, and no message says so.
    """
    if connection.execute("SELECT 1 FROM pg_publication WHERE pubname = %s", (publication,)).fetchone() is None:
        return None
    rows = connection.execute(
        "SELECT tablename FROM pg_publication_tables WHERE pubname = %s AND schemaname = %s", (publication, schema)
    )
    published = {name for (name,) in rows}
    return tuple(table for table in PUBLISHED if table not in published)


def unstreamed(connection: psycopg.Connection[Any], publication: str, schema: str) -> tuple[str, ...]:
    """The source tables whose changes are not streamed: all of them where there is no publication."""
    missing = unpublished(connection, publication, schema)
    return tuple(table for table in SOURCES if missing is None or table in missing)


def publish_sql(publication: str, schema: str, *, tables: tuple[str, ...] | None) -> str:
    """The statement that makes the publication (`tables` None), or adds these tables to it."""
    wanted = ", ".join(f"{quoted(schema)}.{quoted(table)}" for table in tables or PUBLISHED)
    if tables is not None:
        return f"ALTER PUBLICATION {quoted(publication)} ADD TABLE {wanted};"
    return (
        f"CREATE PUBLICATION {quoted(publication)} FOR TABLE {wanted} "
        "WITH (publish = 'insert, update, delete', publish_via_partition_root = true);"
    )
