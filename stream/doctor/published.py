"""Row filters and column lists of the publication: changes, or columns of them, that no message will have.

A row that leaves the filter comes as a delete, and one outside of it never comes. A column that is left out reads as
NULL in each message: an appeal looks like an ordinary scorecard. Enters: a connection. Leaves: findings. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream.doctor.finding import ERROR, Checks, DoctorFinding
from stream.postgres.connection import Connection
from stream.settings_sections import PostgresSettings
from stream.tables import quoted

CHECKS = Checks("postgres")
PART = CHECKS.add(
    "publication-part",
    ERROR,
    "the publication has a row filter or a column list for a captured table",
    "rows outside of the filter, and values of the columns left out, are missing or wrong in ClickHouse, without an "
    "error; run `scorestream verify --repair` afterwards",
)
# As JSON, because Postgres 14 has neither column.
_PARTS = """
    SELECT c.relname, (to_jsonb(r) ->> 'prqual') IS NOT NULL, (to_jsonb(r) ->> 'prattrs') IS NOT NULL
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE p.pubname = %s AND n.nspname = %s AND c.relname = ANY(%s) ORDER BY 1
"""


def examine(connection: Connection, settings: PostgresSettings, tables: list[str]) -> Iterator[DoctorFinding]:
    """Tables of which the publication has a part only. Raises psycopg's errors."""
    publication, schema = settings.publication, settings.source_schema
    for table, filtered, listed in connection.execute(_PARTS, (publication, schema, tables)).fetchall():
        parts = [name for name, there in (("a row filter", filtered), ("a column list", listed)) if there]
        if parts:
            change = f"ALTER PUBLICATION {quoted(publication)} {{}} TABLE {quoted(schema)}.{quoted(table)};"
            sql = f"BEGIN; {change.format('DROP')} {change.format('ADD')} COMMIT;"
            yield PART.found(f"publication {publication} has {' and '.join(parts)} for {table}", sql)
