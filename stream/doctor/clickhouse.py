"""One ClickHouse shard: its tables against the DDL, privileges, parts, replicas, and what else reads or filters them.

Enters: `ShardServer`, which asks one server. Leaves: findings. Reads only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from stream.clickhouse.schema.apply import Difference
from stream.cutover.shadow_tables import IS_HELD
from stream.doctor import tables
from stream.doctor.finding import ERROR, HINT, WARNING, Checks, DoctorFinding, Purpose
from stream.errors import ClickHouseRefused
from stream.monitor.faults import PARTS_LIMIT
from stream.tables import TARGETS
from stream.times import duration

CHECKS = Checks("clickhouse")
SILENT = CHECKS.add(
    "shard-unreachable",
    ERROR,
    "a shard does not answer at its URL in SCORESTREAM_CLICKHOUSE_SHARDS, or refuses the user",
    "every worker waits with its batch until the shard answers",
    "start the shard, or correct SCORESTREAM_CLICKHOUSE_SHARDS, _USER and _PASSWORD",
)
GRANT = CHECKS.add(
    "clickhouse-grant",
    ERROR,
    "the user lacks a privilege",
    "the workers, or the command of --for, stop with ACCESS_DENIED",
)
PARTS = CHECKS.add(
    "parts-many",
    WARNING,
    "a partition of a table has more than 1,000 active parts",
    "ClickHouse slows inserts down, and refuses them at parts_to_throw_insert",
)
BROKEN = CHECKS.add(
    "parts-broken",
    ERROR,
    "ClickHouse has set parts of a table aside as broken",
    "their rows are missing for readers",
    "scorestream verify --repair",
)
VIEW = CHECKS.add(
    "view-attached",
    WARNING,
    "a materialized view reads a table as it is inserted",
    "it sees every version and every delete marker, also of appeals; an error of the view refuses the insert",
)
REPLICA = CHECKS.add(
    "replica-readonly",
    ERROR,
    "a replica of a table is read-only",
    "inserts into it are refused, and the workers stand still",
)
BEHIND = CHECKS.add(
    "replica-behind",
    WARNING,
    "a replica of a table is late, or away",
    "readers of that replica see old states",
)
BLIND = CHECKS.add(
    "clickhouse-blind",
    HINT,
    "the user may not read a system table, so that a check was left out",
    "broken parts or late replicas are not noticed here",
)
VERSION = CHECKS.add(
    "clickhouse-version",
    WARNING,
    "ClickHouse is older than 24.12; the tables were tried on 26.9",
    "settings of the tables may be unknown to it, and `scorestream schema apply` is refused",
    "upgrade ClickHouse",
)
CLOCK = CHECKS.add(
    "clock-skew",
    WARNING,
    "the shard's clock and this host's differ",
    "the latencies that the monitor shows are wrong by as much",
    "run a time daemon on both: `timedatectl set-ntp true`",
)
HELD = CHECKS.add(
    "inserts-held",
    ERROR,
    "a cutover that died has left inserts held back",
    "every insert is refused as `too many parts`, and the workers wait",
)
ATOMIC = CHECKS.add(
    "database-engine",
    ERROR,
    "the database is neither Atomic, Replicated nor Shared",
    "EXCHANGE TABLES is refused, and the cutover fails",
    "fill a new database of the engine Atomic with a replay, and set SCORESTREAM_CLICKHOUSE_DATABASE to it",
    purposes=("cutover",),
)

_OLDEST = (24, 12)
_DENIED = "Code: 497"
SKEW_S = 2.0
BEHIND_S = 60
_TARGETS = tuple(table.target for table in TARGETS)
_NAMES = ", ".join(f"'{name}'" for name in (*_TARGETS, "heartbeat"))
_RESET = "parts_to_throw_insert, max_avg_part_size_for_too_many_parts"
_TABLES = f"""
SELECT name, engine_full, dependencies_database, dependencies_table FROM system.tables
WHERE database = %(database)s AND name IN ({_NAMES})
"""
_PARTS = """
SELECT table, partition, count() AS n FROM system.parts WHERE active AND database = %(database)s
GROUP BY table, partition HAVING n > %(most)s ORDER BY n DESC LIMIT 5
"""
_BROKEN = f"""
SELECT table, count(), any(ifNull(reason, '')) FROM system.detached_parts
WHERE database = %(database)s AND table IN ({_NAMES}) AND match(ifNull(reason, ''), 'broken|noquorum') GROUP BY table
"""
_REPLICAS = """
SELECT table, is_readonly, absolute_delay, total_replicas - active_replicas FROM system.replicas
WHERE database = %(database)s
"""
_NEWEST = """
SELECT name, rows FROM system.parts WHERE active AND database = %(database)s AND table = %(table)s
ORDER BY modification_time DESC LIMIT 200
"""
_ROWS_READ = 20_000_000
# What each of a command's steps needs, as GRANT spells it: connectors/clickhouse/grants.sql gives it.
_ALWAYS = (("SELECT, INSERT", "{database}.*"),)
_FOR: dict[Purpose, tuple[tuple[str, str], ...]] = {
    # A shadow's name begins with that of the live database.
    "replay": (("CREATE DATABASE, CREATE TABLE, CREATE VIEW", "{database}*.*"),),
    "cutover": (("ALTER SETTINGS, CREATE TABLE, DROP TABLE, DROP DATABASE", "{database}*.*"),),
    "backfill": (),
}

Ask = Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class ShardServer:
    """One server.

    Attributes:
        where: for texts, as `ClickHouse shard 0 (http://..)`.
        ask: the rows of a query with its parameters.
        differences: of its tables from the DDL.
    """

    number: int
    where: str
    database: str
    user: str
    ask: Ask
    differences: Callable[[], list[Difference]]


def examine(
    shard: ShardServer,
    purpose: Purpose | None = None,
    *,
    most_parts: int = PARTS_LIMIT,
    clock: Callable[[], float] = time.time,
) -> Iterator[DoctorFinding]:
    """Everything that is wrong.

    Args:
        most_parts: active parts of one ClickHouse partition from which on they are named.

    Raises:
        ClickHouseUnavailable, ClickHouseRefused: the shard does not answer, or refuses a question.
    """
    yield from _version_and_clock(shard, clock)
    for difference in shard.differences():
        yield tables.finding(difference, where=shard.where, database=shard.database, user=shard.user)
    yield from _around(shard, shard.ask(_TABLES, _own(shard)))
    yield from _parts(shard, most_parts)
    yield from _replicas(shard)
    yield from _grants(shard, purpose)
    if purpose == "cutover":
        for (engine,) in shard.ask("SELECT engine FROM system.databases WHERE name = %(database)s", _own(shard)):
            if engine not in ("Atomic", "Replicated", "Shared"):
                yield ATOMIC.found(f"{shard.where}: database {shard.database} is {engine}")


def _own(shard: ShardServer) -> dict[str, Any]:
    return {"database": shard.database}


def _version_and_clock(shard: ShardServer, clock: Callable[[], float]) -> Iterator[DoctorFinding]:
    before = clock()
    ((version, theirs),) = shard.ask("SELECT version(), toFloat64(now64(6))", {})
    after = clock()
    if (numbers := re.match(r"(\d+)\.(\d+)", version)) and (int(numbers[1]), int(numbers[2])) < _OLDEST:
        yield VERSION.found(f"{shard.where}: ClickHouse is {version}")
    ahead_s = theirs - after if theirs > after else min(0.0, theirs - before)
    if abs(ahead_s) > SKEW_S:
        direction = "ahead of" if ahead_s > 0 else "behind"
        yield CLOCK.found(f"{shard.where}: its clock is {duration(abs(ahead_s))} {direction} this host's")


def _around(shard: ShardServer, there: Sequence[Sequence[Any]]) -> Iterator[DoctorFinding]:
    names = [name for name, *_ in there]
    if "heartbeat" not in names and names:
        yield tables.TABLE.found(f"{shard.where}: {shard.database}.heartbeat: missing", severity=WARNING)
    for name, engine_full, databases, views in there:
        if re.search(IS_HELD, engine_full):
            sql = f"ALTER TABLE `{shard.database}`.`{name}` RESET SETTING {_RESET};"
            yield HELD.found(f"{shard.where}: inserts into {shard.database}.{name} are held back", sql)
        for database, view in zip(databases, views, strict=True):
            what = f"{shard.where}: materialized view {database}.{view} reads {shard.database}.{name}"
            yield VIEW.found(what, f"DROP VIEW `{database}`.`{view}`; -- and refresh one from {name}_current instead")


def _seen(
    shard: ShardServer, table: str, query: str, **values: Any
) -> Generator[DoctorFinding, None, Sequence[Sequence[Any]]]:
    """The rows of a system table; none where the user may not read it."""
    try:
        return shard.ask(query, _own(shard) | values)
    except ClickHouseRefused as error:
        if _DENIED not in str(error):
            raise
        yield BLIND.found(
            f"{shard.where}: user {shard.user} may not read {table}", f"GRANT SELECT ON {table} TO {shard.user};"
        )
        return ()


def _parts(shard: ShardServer, most: int) -> Iterator[DoctorFinding]:
    for table, partition, count in (yield from _seen(shard, "system.parts", _PARTS, most=most)):
        sql = f"OPTIMIZE TABLE `{shard.database}`.`{table}` PARTITION ID '{partition}';"
        yield PARTS.found(f"{shard.where}: {shard.database}.{table} has {count:,} parts in partition {partition}", sql)
    for table, count, reason in (yield from _seen(shard, "system.detached_parts", _BROKEN)):
        yield BROKEN.found(f"{shard.where}: {count} parts of {shard.database}.{table} are set aside ({reason})")


def _replicas(shard: ShardServer) -> Iterator[DoctorFinding]:
    for table, readonly, late_s, away in (yield from _seen(shard, "system.replicas", _REPLICAS)):
        name = f"{shard.database}.{table}"
        if readonly:
            yield REPLICA.found(f"{shard.where}: replica of {name} is read-only", f"SYSTEM RESTART REPLICA {name};")
        if late_s > BEHIND_S:
            text = f"{shard.where}: replica of {name} is {duration(late_s)} late"
            yield BEHIND.found(text, f"SYSTEM SYNC REPLICA {name};")
        if away:
            yield BEHIND.found(f"{shard.where}: {away} replicas of {name} are away", "start the servers that are away")


def _grants(shard: ShardServer, purpose: Purpose | None) -> Iterator[DoctorFinding]:
    """Missing grants. An older server than ClickHouse 24.12 does not know CHECK GRANT; then nothing is reported."""
    for privileges, on in (*_ALWAYS, *(_FOR[purpose] if purpose else ())):
        scope = on.format(database=f"`{shard.database}`")
        for privilege in privileges.split(", "):
            with suppress(ClickHouseRefused):
                ((held,),) = shard.ask(f"CHECK GRANT {privilege} ON {scope}", {})
                if not held:
                    text = f"{shard.where}: user {shard.user} lacks {privilege} ON {scope}"
                    yield GRANT.found(text, f"GRANT {privilege} ON {scope} TO {shard.user};")


def highest_version(ask: Ask, database: str) -> int:
    """The highest version in the newest parts of both tables, so that no table is read whole; 0 without rows."""
    highest = 0
    for table in _TARGETS:
        names, rows = [], 0
        for name, count in ask(_NEWEST, {"database": database, "table": table}):
            names.append(name)
            rows += count
            if rows > _ROWS_READ:
                break
        if names:
            query = f"SELECT toString(max(_version)) FROM `{database}`.`{table}` WHERE _part IN %(parts)s"
            ((found,),) = ask(query, {"parts": names})
            highest = max(highest, int(found))
    return highest
