"""Which source tables the publication leaves out, by name: their changes are not streamed. Reads only.

A publication follows a table, not a name. When another table takes the name by a rename, none of its changes is
published, and no message says so.
"""

from __future__ import annotations

from typing import Any

import psycopg

from stream.tables import SOURCES

_LEFT_OUT = (
    "SELECT t FROM unnest(%s::text[]) t WHERE NOT EXISTS (SELECT FROM pg_publication_tables "
    "WHERE pubname = %s AND schemaname = %s AND tablename = t) ORDER BY t"
)


def left_out(connection: psycopg.Connection[Any], *, publication: str, schema: str) -> tuple[str, ...]:
    """Names of the source tables that are not published. Raises psycopg's errors."""
    return tuple(name for (name,) in connection.execute(_LEFT_OUT, (list(SOURCES), publication, schema)))
