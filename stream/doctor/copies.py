"""COPY into a captured table: whether each row gets a record of its own in the WAL.

COPY writes the rows of a page as one record, so they share their LSN. Debezium stores an LSN as its offset, and after a
restart it leaves out the rest of the record (docs/decisions/043-a-restart-of-connect-leaves-out-nothing.md). Enters: a
connection. Leaves: findings. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream.doctor.finding import WARNING, Checks, DoctorFinding
from stream.postgres.connection import Connection
from stream.settings_sections import PostgresSettings
from stream.tables import quoted

CHECKS = Checks("postgres")
COPY = CHECKS.add(
    "copy-trigger",
    WARNING,
    "a captured table, or a partition of one, has no BEFORE INSERT row trigger, such as scorestream_one_by_one",
    "a COPY writes many rows with one LSN, and a restart of Connect amid them leaves some out, without an error",
)
_TRIGGER = "scorestream_one_by_one"  # of connectors/source/0002_cdc.sql
# Of pg_trigger.tgtype: for each row, before, insert.
_LACKING = """
    WITH named AS (
        SELECT c.oid AS id, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relname = ANY(%s)
    ), written AS (
        SELECT id FROM named WHERE relkind = 'r'
        UNION SELECT relid FROM named, pg_partition_tree(id) WHERE isleaf
    )
    SELECT format('%%I.%%I', n.nspname, c.relname), EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = %s)
    FROM written JOIN pg_class c ON c.oid = id JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = id AND t.tgtype & 7 = 7 AND t.tgenabled <> 'D')
    ORDER BY 1
"""


def examine(connection: Connection, settings: PostgresSettings, tables: list[str]) -> Iterator[DoctorFinding]:
    """Tables and partitions into which a COPY writes many rows with one record. Raises psycopg's errors."""
    schema = settings.source_schema
    for table, disabled in connection.execute(_LACKING, (schema, tables, _TRIGGER)).fetchall():
        what = f"a restart of Connect amid a COPY into {table} would leave rows out"
        function = f"{quoted(schema)}.scorestream_no_op()"
        create = (
            f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
            f"CREATE TRIGGER {_TRIGGER} BEFORE INSERT ON {table} FOR EACH ROW WHEN (false) "
            f"EXECUTE FUNCTION {function};"
        )
        yield COPY.found(what, f"ALTER TABLE {table} ENABLE TRIGGER {_TRIGGER};" if disabled else create)
