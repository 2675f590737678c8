"""The roles of the connector and of the workers: what they may do, what is hidden from them, what ends their sessions.

Enters: a connection as any role; the catalogs are open to all. Leaves: findings. Reads only.
The connector's role is the one that streams from the slot, and that of connectors/source/0002_cdc.sql.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stream.doctor.finding import ERROR, WARNING, Checks, DoctorFinding
from stream.postgres.connection import Connection
from stream.settings_sections import PostgresSettings
from stream.tables import HEARTBEAT, HORIZON, SIGNAL, SOURCES, TEMPLATES, quoted

CHECKS = Checks("postgres")
HIDDEN = CHECKS.add(
    "row-security",
    ERROR,
    "row level security hides rows of a captured table from the connector or the workers",
    "snapshots and look-ups are refused, and the workers stop at the first of these rows",
)
GRANT = CHECKS.add(
    "grant-missing",
    ERROR,
    "the connector's role or the workers' role lacks a privilege",
    "the connector, a snapshot or a look-up fails with `permission denied`",
)
REPLICATION = CHECKS.add(
    "role-replication",
    ERROR,
    "the connector's role has neither REPLICATION nor, on Amazon RDS, the role rds_replication",
    "the connector cannot open its slot and fails",
)
LOGIN = CHECKS.add(
    "role-login",
    ERROR,
    "the connector's role may not log in, or its password has expired",
    "the connector fails at its next connection",
)
TIMEOUT = CHECKS.add(
    "role-timeout",
    WARNING,
    "a timeout of the role or the database ends long sessions of the connector or of verify",
    "snapshots and backfills of large tables, or a comparison, are cancelled half-way",
)

SIGNAL_GRANT = CHECKS.add(
    "signal-grant",
    ERROR,
    "the role of SCORESTREAM_BACKFILL_DSN may not write to the signal table",
    "the backfill stops at its first window",
    purposes=("backfill",),
)

CONNECTOR_ROLE = "scorestream_cdc"
_READ = ("SELECT",)
_WRITE = ("SELECT", "INSERT", "UPDATE")
_READER = dict.fromkeys((*SOURCES, TEMPLATES, HEARTBEAT, HORIZON), _READ)
_CONNECTOR = dict.fromkeys(SOURCES, _READ) | dict.fromkeys((SIGNAL, HEARTBEAT, HORIZON), _WRITE)
# Of the connector's role: sessions of `stream.postgres.connection` switch these off for themselves.
_OF_CONNECTOR = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
    "idle_session_timeout",
)

_ROLES = """
SELECT r.oid FROM pg_roles r WHERE r.rolname IN (current_user, %(connector)s) OR r.oid IN (
    SELECT a.usesysid FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
    WHERE s.slot_name = %(slot)s)
"""
_TABLES = """
pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s)
"""
_HIDDEN = f"""
SELECT r.rolname, array_agg(c.relname::text ORDER BY c.relname) FROM pg_roles r, {_TABLES}
AND c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE')) AND r.oid IN ({_ROLES})
GROUP BY 1 ORDER BY 1
"""
_GRANTS = f"""
SELECT r.rolname, r.rolname = current_user, c.relname, has_schema_privilege(r.oid, n.oid, 'USAGE'), ARRAY(
    SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) p WHERE has_table_privilege(r.oid, c.oid, p))
FROM pg_roles r, {_TABLES} AND r.oid IN ({_ROLES}) ORDER BY 1, 3
"""
_ATTRIBUTES = f"""
SELECT r.rolname, r.rolcanlogin AND coalesce(r.rolvaliduntil > now(), true), r.rolsuper OR r.rolreplication OR EXISTS (
    SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(r.oid, m.oid, 'USAGE'))
FROM pg_roles r WHERE r.oid IN ({_ROLES}) AND r.rolname <> current_user ORDER BY 1
"""
# Of the three places the first wins: role in database, role, database.
_TIMEOUTS = f"""
SELECT r.rolname, r.rolname = current_user, d.datname, s.setrole <> 0, split_part(c, '=', 1), split_part(c, '=', 2)
FROM pg_roles r, pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
WHERE r.oid IN ({_ROLES}) AND s.setrole IN (0, r.oid) AND (d.datname IS NULL OR d.datname = current_database())
ORDER BY r.rolname, s.setrole = 0, s.setdatabase = 0
"""


def examine(connection: Connection, settings: PostgresSettings) -> Iterator[DoctorFinding]:
    """Everything that is wrong. Raises psycopg's errors."""
    values = {
        "connector": CONNECTOR_ROLE,
        "slot": settings.slot,
        "schema": settings.source_schema,
        "tables": list(SOURCES),
    }
    for role, hidden in connection.execute(_HIDDEN, values).fetchall():
        what = f"row level security of {', '.join(hidden)} hides rows from {role}"
        yield HIDDEN.found(what, f"ALTER ROLE {quoted(role)} BYPASSRLS;")
    yield from _grants(connection, settings.source_schema, values)
    for role, may_login, may_replicate in connection.execute(_ATTRIBUTES, values).fetchall():
        if not may_login:
            sql = f"ALTER ROLE {quoted(role)} LOGIN VALID UNTIL 'infinity';"
            yield LOGIN.found(f"role {role} may not log in, or its password has expired", sql)
        if not may_replicate:
            yield REPLICATION.found(f"role {role} may not replicate", f"ALTER ROLE {quoted(role)} REPLICATION;")
    yield from _timeouts(connection, values)


def signals(connection: Connection, schema: str) -> Iterator[DoctorFinding]:
    """What the role of this connection lacks to send signals. Raises psycopg's errors."""
    table = f"{quoted(schema)}.{quoted(SIGNAL)}"
    row = connection.execute(
        "SELECT current_user, coalesce(has_table_privilege(to_regclass(%s), 'INSERT'), false)", (table,)
    ).fetchone()
    if row is not None and not row[1]:
        sql = f"GRANT SELECT, INSERT, UPDATE ON {table} TO {quoted(row[0])};"
        yield SIGNAL_GRANT.found(f"role {row[0]} may not INSERT into {schema}.{SIGNAL}", sql)


def _grants(connection: Connection, schema: str, values: Mapping[str, object]) -> Iterator[DoctorFinding]:
    rows = connection.execute(_GRANTS, {**values, "tables": list(_READER | _CONNECTOR)}).fetchall()
    locked_out = set()
    for role, is_reader, table, may_enter, held in rows:
        if not may_enter and role not in locked_out:
            locked_out.add(role)
            sql = f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {quoted(role)};"
            yield GRANT.found(f"role {role} may not use schema {schema}", sql)
        needs = _READER if is_reader else _CONNECTOR
        if missing := [each for each in needs.get(table, ()) if each not in held]:
            privileges = ", ".join(missing)
            sql = f"GRANT {privileges} ON {quoted(schema)}.{quoted(table)} TO {quoted(role)};"
            yield GRANT.found(f"role {role} may not {privileges} on {schema}.{table}", sql)


def _timeouts(connection: Connection, values: Mapping[str, object]) -> Iterator[DoctorFinding]:
    seen = set()
    for role, is_reader, database, of_role, name, value in connection.execute(_TIMEOUTS, values).fetchall():
        if is_reader or name not in _OF_CONNECTOR or (role, name) in seen:
            continue
        seen.add((role, name))
        if value.strip("'").rstrip("msindh ") in ("0", "-1", ""):
            continue
        # What stands for the role in the database wins over all else.
        scope = f" IN DATABASE {quoted(database)}" if database and of_role else ""
        what = f"sessions of role {role} have {name} = {value}"
        yield TIMEOUT.found(what, f"ALTER ROLE {quoted(role)}{scope} SET {name} = 0;")
