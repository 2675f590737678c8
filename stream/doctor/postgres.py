"""The Postgres server: its settings and the slot.

Enters: the store of the source. Leaves: findings. Reads only.
The tables, the roles and the sessions in the way are in source.py, roles.py and sessions.py beside this file.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from stream.connect.connector import CREATE_FIRST
from stream.doctor import roles, sessions, source
from stream.doctor.finding import ERROR, HINT, RECOVER, WARNING, Checks, DoctorFinding
from stream.errors import PostgresTimeout
from stream.monitor.faults import WAL_LEAST
from stream.postgres.connection import LSN_NOW, Connection, Postgres
from stream.postgres.pooler import is_pooled
from stream.postgres.replication import has_streamed
from stream.settings_sections import PostgresSettings
from stream.tables import quoted
from stream.times import size

CHECKS = Checks("postgres")
SILENT = CHECKS.add(
    "postgres-unreachable",
    ERROR,
    "Postgres does not answer as SCORESTREAM_POSTGRES_DSN says, or refuses the role",
    "the workers stand still: they look up every scorecard's place there",
    "start Postgres, or correct SCORESTREAM_POSTGRES_DSN and SCORESTREAM_POSTGRES_PASSWORD",
)
SLOW = CHECKS.add(
    "postgres-slow",
    ERROR,
    "Postgres answers, and a question took longer than the limit",
    "look-ups may take as long, and the workers fall behind",
    "look for long statements and waits: SELECT pid, state, wait_event_type, wait_event, query_start FROM "
    "pg_stat_activity ORDER BY query_start;",
)
VERSION = CHECKS.add(
    "postgres-version",
    WARNING,
    "Postgres is older than 14, the oldest that Debezium 3.7 is tested with",
    "decoding may fail, and the server gets no more corrections",
    "upgrade Postgres",
)
RECOVERY = CHECKS.add(
    "postgres-standby",
    ERROR,
    "the DSN leads to a standby, and SCORESTREAM_POSTGRES_STANDBY is off",
    "look-ups see an older state than the change that they are for",
    "add target_session_attrs=read-write to SCORESTREAM_POSTGRES_DSN, or set SCORESTREAM_POSTGRES_STANDBY=true",
)
POOLER = CHECKS.add(
    "postgres-pooler",
    WARNING,
    "a pooler in session mode stands between this host and Postgres",
    "each connection takes one of the pool for as long as it lasts, and a full pool holds up look-ups",
    "let SCORESTREAM_POSTGRES_DSN lead to the server itself",
)
WAL_LEVEL = CHECKS.add(
    "wal-level",
    ERROR,
    "wal_level is not logical",
    "Postgres cannot decode changes, and the connector fails",
    "ALTER SYSTEM SET wal_level = 'logical'; -- and restart Postgres",
)
WAL_UNLIMITED = CHECKS.add(
    "wal-unlimited",
    WARNING,
    "max_slot_wal_keep_size is not set",
    "a connector that is stopped for long fills the disk with WAL, and Postgres stops",
    "ALTER SYSTEM SET max_slot_wal_keep_size = '100GB'; SELECT pg_reload_conf();",
)
SLOTS = CHECKS.add(
    "slots-exhausted",
    ERROR,
    "no free replication slot, or no free WAL sender, is left for the connector",
    "the connector cannot create or read its slot and fails",
)
SLOT = CHECKS.add(
    "slot-missing",
    ERROR,
    "the replication slot does not exist",
    "no change reaches Kafka; a connector that has an offset fails at its next start",
)
LOST = CHECKS.add(
    "slot-lost",
    ERROR,
    "Postgres invalidated the slot, or removed its WAL",
    "changes since then never reach Kafka",
)
STRANGE = CHECKS.add(
    "slot-strange",
    ERROR,
    "the slot is of another database, or not of pgoutput",
    "the connector fails, or another connector loses its changes",
    "choose another name: SCORESTREAM_POSTGRES_SLOT, then `scorestream connectors apply`",
)
INACTIVE = CHECKS.add(
    "slot-inactive",
    ERROR,
    "no process reads the slot",
    "no change reaches Kafka, and Postgres keeps WAL for the slot",
    "scorestream connectors restart --all",
)
NEAR = CHECKS.add(
    "slot-wal",
    ERROR,
    "the slot keeps nearly as much WAL as Postgres allows",
    "Postgres drops the slot at the limit, and changes are lost",
)
FAILOVER = CHECKS.add(
    "slot-failover",
    HINT,
    "the slot is not a failover slot (Postgres 17 and later)",
    "standbys have no copy of the slot: after a failover it is gone",
)
IDLE = CHECKS.add(
    "slot-idle-timeout",
    WARNING,
    "idle_replication_slot_timeout is set (Postgres 18 and later)",
    "Postgres invalidates the slot of a connector that is stopped for that long, and changes are lost",
    "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
)
RUNS_AHEAD = CHECKS.add(
    "slot-runs-ahead",
    HINT,
    "standbys follow by slots that synchronized_standby_slots does not name (Postgres 17 and later)",
    "the connector sends changes that a standby has not yet; after a failover to it, ClickHouse has what Postgres lost",
)
FAILOVER_VERSION = 170000  # server_version_num
_OLDEST = 140000


_SERVER = f"""
SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(), ({LSN_NOW}),
       current_database(), current_setting('wal_level'), current_setting('max_slot_wal_keep_size'),
       current_setting('max_replication_slots')::int, (SELECT count(*) FROM pg_replication_slots),
       current_setting('max_wal_senders')::int, (SELECT count(*) FROM pg_stat_replication),
       (SELECT count(*) FROM pg_stat_replication r WHERE NOT EXISTS (
            SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')),
       coalesce(current_setting('idle_replication_slot_timeout', true), '0'),
       current_setting('synchronized_standby_slots', true),
       ARRAY(SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'physical' AND active ORDER BY 1)
"""
_SLOT = """
SELECT s.active, s.plugin, s.database, s.wal_status, s.safe_wal_size,
       coalesce(to_jsonb(s) ->> 'invalidation_reason', ''),
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false),
       (s.restart_lsn - '0/0'::pg_lsn)::bigint
FROM pg_replication_slots s WHERE s.slot_name = %s
"""


def examine(postgres: Postgres, settings: PostgresSettings, *, transaction_s: float) -> Iterator[DoctorFinding]:
    """All faults of the server and the slot.

    Args:
        transaction_s: age from which a transaction is reported.

    Raises:
        PostgresUnavailable, PostgresRefused: Postgres does not answer, or refuses a question. A question that takes
            longer than the limit is a finding.
    """
    try:
        with postgres.session() as connection:
            yield from _pooler(connection)
            standby = yield from _server(connection, settings)
            if locked := sessions.locked(connection, settings):
                yield from locked
                return
            if not standby:
                yield from sessions.transactions(connection, settings, transaction_s)
            yield from source.examine(connection, settings)
            yield from roles.examine(connection, settings)
    except PostgresTimeout as error:
        yield SLOW.found(str(error))


def before_connector(connection: Connection, settings: PostgresSettings) -> list[DoctorFinding]:
    """What the connector needs of Postgres before it starts; the slot and its state are not among it."""
    found = [each for each in _of_server(_row(connection)) if each.id not in {SLOTS.id}]
    return [*found, *source.examine(connection, settings), *roles.examine(connection, settings)]


@dataclass(frozen=True, slots=True)
class _Server:
    version: int
    version_text: str
    in_recovery: bool
    lsn: int
    database: str
    wal_level: str
    keep: str
    max_slots: int
    slots: int
    max_senders: int
    senders: int
    standbys: int
    idle_timeout: str
    waited_for: str | None  # synchronized_standby_slots; None before Postgres 17
    standby_slots: list[str]


def _row(connection: Connection) -> _Server:
    row = connection.execute(_SERVER).fetchone()
    assert row is not None
    return _Server(*row)


def _of_server(server: _Server) -> Iterator[DoctorFinding]:
    if server.version < _OLDEST:
        yield VERSION.found(f"Postgres is {server.version_text}")
    if server.wal_level != "logical":
        yield WAL_LEVEL.found(f"wal_level is {server.wal_level}, not logical")
    if server.keep == "-1":
        yield WAL_UNLIMITED.found("max_slot_wal_keep_size is not set: a stopped connector fills the disk")
    if server.idle_timeout != "0":
        yield IDLE.found(f"idle_replication_slot_timeout is {server.idle_timeout}")
    if server.waited_for is not None:
        named = {each.strip() for each in server.waited_for.split(",")}
        if missing := [each for each in server.standby_slots if each not in named]:
            sql = f"ALTER SYSTEM SET synchronized_standby_slots = '{','.join(server.standby_slots)}'; "
            text = f"synchronized_standby_slots does not name {', '.join(missing)}"
            yield RUNS_AHEAD.found(text, sql + "SELECT pg_reload_conf();")


def _server(connection: Connection, settings: PostgresSettings) -> Generator[DoctorFinding, None, bool]:
    """The server and the slot; returns whether it is a standby."""
    server = _row(connection)
    if server.in_recovery:
        if not settings.standby:
            yield RECOVERY.found(f"SCORESTREAM_POSTGRES_DSN leads to a standby ({_at(connection)})")
        return True
    yield from _of_server(server)
    yield from _slot(connection, settings, server)
    return False


def _slot(connection: Connection, settings: PostgresSettings, server: _Server) -> Iterator[DoctorFinding]:
    name = settings.slot
    row = connection.execute(_SLOT, (name,)).fetchone()
    if row is None:
        if server.slots >= server.max_slots:
            sql = f"ALTER SYSTEM SET max_replication_slots = {server.max_slots + 5}; -- and restart Postgres"
            yield SLOTS.found(f"all {server.max_slots} replication slots are taken", sql)
        beaten = has_streamed(connection, settings.source_schema)
        yield SLOT.found(f"no replication slot {name}", RECOVER if beaten else CREATE_FIRST)
        return
    active, plugin, database, status, safe, invalid, failover, restart = row
    if plugin != "pgoutput" or database != server.database:
        yield STRANGE.found(f"slot {name} is of database {database} and plugin {plugin}")
    if status == "lost" or invalid:
        yield LOST.found(f"slot {name} is lost ({invalid or 'wal_removed'})", RECOVER)
        return
    if status == "unreserved" or (safe is not None and safe < WAL_LEAST):
        kept = size(max(0, server.lsn - (restart or 0)))
        sql = "ALTER SYSTEM SET max_slot_wal_keep_size = '500GB'; SELECT pg_reload_conf(); -- then start the connector"
        yield NEAR.found(f"slot {name} keeps {kept} of WAL; {size(max(0, safe or 0))} may follow", sql)
    if not active:
        kept = size(max(0, server.lsn - (restart or 0)))
        yield INACTIVE.found(f"no process reads slot {name}; Postgres keeps {kept} of WAL for it")
        if server.senders >= server.max_senders:
            sql = f"ALTER SYSTEM SET max_wal_senders = {server.max_senders + 5}; -- and restart Postgres"
            yield SLOTS.found(f"all {server.max_senders} WAL senders are taken", sql)
    if server.version >= FAILOVER_VERSION and not failover:
        # A walsender that reads no logical slot is a standby's, or a base backup's.
        text = f"slot {name} is not a failover slot" + (
            f", and {server.standbys} standbys follow" if server.standbys else ""
        )
        yield FAILOVER.found(text, _alter_slot(connection, name), severity=WARNING if server.standbys else None)


def _alter_slot(connection: Connection, name: str) -> str:
    """The flag of a slot is set over a replication connection, while nobody reads the slot."""
    at = connection.info
    to = f"host={at.host} port={at.port} dbname={at.dbname} user={roles.CONNECTOR_ROLE} replication=database"
    command = f'psql "{to}" -c "ALTER_REPLICATION_SLOT {quoted(name)} (FAILOVER true)"'.replace('"' + name + '"', name)
    return f"scorestream connectors stop && {command}; scorestream connectors resume"


def _pooler(connection: Connection) -> Iterator[DoctorFinding]:
    """A connection through a pooler in transaction mode was refused when it was opened."""
    if is_pooled(connection):
        yield POOLER.found(f"a pooler answers at {_at(connection)}")


def _at(connection: Connection) -> str:
    """Host and port, as libpq reached them."""
    return f"{connection.info.host}:{connection.info.port}"
