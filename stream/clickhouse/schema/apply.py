"""stream/clickhouse/schema/*.sql -> DDL for a database; applies it to the shards, and compares the shards with it.

Enters: settings, a database's name. Leaves: statements, and the differences of each shard. Every statement can run
again; nothing is dropped. The same DDL serves for a shadow database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any

from stream.clickhouse.schema.layout import PARTITION_KEY, PRIMARY_KEY, columns, sorting_key, view_of
from stream.clickhouse.schema.policies import policies
from stream.clickhouse.schema.shard_mark import mark_in, wanted_mark, with_mark
from stream.clickhouse.shards import Rows, connect, shard_error
from stream.errors import UsageError
from stream.sections import ClickHouseSettings
from stream.tables import TARGETS, Table

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of a shard from stream/tables.py and the DDL."""

    shard: int
    name: str  # table or view, or table.column
    fault: str


def statements(database: str, cluster: str | None = None) -> list[str]:
    """The DDL in the order it must run, without comments and trailing semicolons.

    Args:
        database: where the tables go; it is created if it is missing.
        cluster: run the DDL ON CLUSTER this, with Replicated tables; None: plain tables of one server.

    Raises:
        UsageError: the database's or cluster's name would need quoting.
    """
    for name in (database, *([cluster] if cluster else [])):
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a database or cluster: letters, digits and _ only")
    found = []
    for text in _files():
        filled = _COMMENT.sub("", text)
        for placeholder, value in (
            ("{database}", database),
            ("{on_cluster}", f" ON CLUSTER `{cluster}`" if cluster else ""),
            ("{replicated}", "Replicated" if cluster else ""),
        ):
            filled = filled.replace(placeholder, value)
        # No statement has a semicolon inside: a test splits and counts them.
        found += [_tidy(part) for part in filled.split(";") if part.strip()]
    return found


def target_shards(settings: ClickHouseSettings) -> list[int]:
    """The shards on which the DDL must run: the first when it spreads by itself (ON CLUSTER), otherwise all."""
    return [0] if settings.cluster else list(range(len(settings.shards)))


def apply(settings: ClickHouseSettings, *, database: str | None = None) -> Iterator[tuple[int, int]]:
    """Run the DDL and write each shard's place into its tables; yields (shard, statements run) as each shard is done.

    Raises:
        UsageError: tables that are there are another shard's; nothing was changed.
        ClickHouseUnavailable: a shard does not answer.
        ClickHouseRefused: a shard refused a statement.
    """
    name = database or settings.database
    ddl = statements(name, settings.cluster)
    for shard, replica in servers(settings):
        with _client(settings, shard, replica) as client:
            _missing_marks(client, settings, shard, name)
    for shard in range(len(settings.shards)):
        own = ddl if shard in target_shards(settings) else []
        with _client(settings, shard) as client:
            for statement in own:
                _run(client.command, settings, shard, statement)
        run = len(own)
        # Each server's own, never ON CLUSTER: a comment is not replicated, and other shards have other numbers.
        for _, replica in servers(settings, shard):
            with _client(settings, shard, replica) as client:
                for statement in _missing_marks(client, settings, shard, name):
                    _run(client.command, settings, shard, statement)
                    run += 1
        yield shard, run


def servers(settings: ClickHouseSettings, *shards: int) -> Iterator[tuple[int, int]]:
    """(shard, replica) of every server in the list, or of those of these shards."""
    for shard in shards or range(len(settings.shards)):
        for replica in range(len(settings.replicas(shard))):
            yield shard, replica


def status(settings: ClickHouseSettings, *, database: str | None = None) -> list[Difference]:
    """All differences on any shard; empty = the shards are as the DDL makes them.

    Raises:
        ClickHouseUnavailable: a shard does not answer.
    """
    return [each for shard in range(len(settings.shards)) for each in status_of(settings, shard, database=database)]


def status_of(settings: ClickHouseSettings, shard: int, *, database: str | None = None) -> list[Difference]:
    """As `status`, of one shard with all its replicas."""
    found: list[Difference] = []
    for _, replica in servers(settings, shard):
        with _client(settings, shard, replica) as client:
            found += _differences(client, settings, shard, database or settings.database)
            found += _hidden(client, settings, shard, database or settings.database)
    return found


def _files() -> list[str]:
    here = resources.files("stream.clickhouse.schema")
    return [
        entry.read_text("utf-8")
        for entry in sorted(here.iterdir(), key=lambda e: e.name)
        if entry.name.endswith(".sql")
    ]


def _tidy(statement: str) -> str:
    return "\n".join(line.rstrip() for line in statement.strip().splitlines() if line.strip())


@contextmanager
def _client(settings: ClickHouseSettings, shard: int, replica: int | None = None) -> Iterator[Any]:
    with closing(connect(settings, shard, database="", replica=replica)) as client:
        yield client


def _missing_marks(client: Any, settings: ClickHouseSettings, shard: int, database: str) -> list[str]:
    """Statements that write the shard's place into its tables that do not say it yet.

    Raises:
        UsageError: they say another one.
    """
    names = ", ".join(f"'{table.target}'" for table in TARGETS)
    query = f"SELECT name, comment FROM system.tables WHERE database = '{database}' AND name IN ({names}) ORDER BY name"
    wanted, found = wanted_mark(settings, shard), []
    for name, comment in _run(client.query, settings, shard, query).result_rows:
        mark = mark_in(comment)
        if mark is None:
            text = with_mark(comment, wanted).replace("\\", "\\\\").replace("'", "\\'")
            found.append(f"ALTER TABLE `{database}`.`{name}` MODIFY COMMENT '{text}'")
        elif mark != wanted:
            raise UsageError(
                f"ClickHouse shard {shard} ({settings.shards[shard]}): {database}.{name} says `{mark}`, but the "
                f"settings make it `{wanted}`; nothing was changed. Give SCORESTREAM_CLICKHOUSE_SHARDS in the order "
                "and number that the tables say; another number of shards takes a new database "
                "(docs/guides/upgrade.md)"
            )
    return found


def _run(call: Any, settings: ClickHouseSettings, shard: int, statement: str) -> Any:
    try:
        return call(statement)
    except Exception as error:
        raise shard_error(settings, shard, error) from error


def _differences(client: Any, settings: ClickHouseSettings, shard: int, database: str) -> list[Difference]:
    wanted = {table.target: table for table in TARGETS}
    rows = _run(
        client.query,
        settings,
        shard,
        "SELECT name, engine, engine_full, partition_key, primary_key, sorting_key, comment FROM system.tables "
        f"WHERE database = '{database}'",
    ).result_rows
    present = {name: rest for name, *rest in rows}
    held: dict[str, dict[str, str]] = {}
    for table, column, kind in _run(
        client.query, settings, shard, f"SELECT table, name, type FROM system.columns WHERE database = '{database}'"
    ).result_rows:
        held.setdefault(table, {})[column] = kind
    found: list[Difference] = []
    for name, table in wanted.items():
        if name not in present:
            found.append(Difference(shard, name, "missing"))
        else:
            *described, comment = present[name]
            found += [Difference(shard, name, fault) for fault in _table_faults(table, described)]
            found += [Difference(shard, name, fault) for fault in _mark_faults(settings, shard, comment)]
            found += _column_faults(shard, name, columns(table), held.get(name, {}))
        view = view_of(table)
        if view not in present:
            found.append(Difference(shard, view, "missing"))
        else:
            visible = {column.name: column.clickhouse_type for column in table.all_columns}
            found += _column_faults(shard, view, visible, held.get(view, {}))
    return found


def _table_faults(table: Table, described: Sequence[str]) -> Iterator[str]:
    engine, engine_full, partition, primary, sorting = described
    # Replicated and Shared variants are the same engine with copies.
    if not engine.endswith("ReplacingMergeTree") or "_version, _deleted)" not in engine_full:
        yield f"engine {engine_full.partition(' PARTITION BY')[0]}, not ReplacingMergeTree(_version, _deleted)"
    for what, has, wanted in (
        ("partition key", partition, PARTITION_KEY),
        ("primary key", primary, PRIMARY_KEY),
        ("sort key", sorting, sorting_key(table)),
    ):
        if has != wanted:
            yield f"{what} {has or 'none'}, not {wanted}"


def _hidden(client: Any, settings: ClickHouseSettings, shard: int, database: str) -> Iterator[Difference]:
    def ask(query: str, values: dict[str, str]) -> Rows:
        rows: Rows = _run(partial(client.query, parameters=values), settings, shard, query).result_rows
        return rows

    for policy in policies(ask, database) or ():
        whose = "this user" if policy.own else "other users"
        yield Difference(shard, policy.table or "*", f"row policy {policy.name} hides rows from {whose}")


def _mark_faults(settings: ClickHouseSettings, shard: int, comment: str) -> Iterator[str]:
    mark, wanted = mark_in(comment), wanted_mark(settings, shard)
    if mark is None:
        yield f"its comment does not say `{wanted}`"
    elif mark != wanted:
        yield f"its comment says `{mark}`, not `{wanted}`"


def _column_faults(shard: int, name: str, wanted: dict[str, str], held: dict[str, str]) -> Iterator[Difference]:
    for column, kind in wanted.items():
        if column not in held:
            yield Difference(shard, f"{name}.{column}", f"missing ({kind})")
        elif held[column] != kind:
            yield Difference(shard, f"{name}.{column}", f"type {held[column]}, not {kind}")
    for column in held.keys() - wanted.keys():
        yield Difference(shard, f"{name}.{column}", f"extra ({held[column]})")


def prepare_shadow(settings: ClickHouseSettings, database: str) -> None:
    """Create the shadow's tables on every shard.

    Raises:
        UsageError: the shadow already has rows.
    """
    for _ in apply(settings, database=database):
        pass
    if rows := rows_in(settings, database):
        raise UsageError(
            f"database {database} holds {rows:,} rows already: replay into another one, or drop it on every shard"
        )


def rows_in(settings: ClickHouseSettings, database: str) -> int:
    """Stored rows of the target tables, all versions, on all shards."""
    tables = ", ".join(f"'{table.target}'" for table in TARGETS)
    total = 0
    for shard in range(len(settings.shards)):
        client = connect(settings, shard, database="")
        try:
            total += client.query(
                f"SELECT sum(rows) FROM system.parts WHERE active AND database = '{database}' AND table IN ({tables})"
            ).result_rows[0][0]
        except Exception as error:
            raise shard_error(settings, shard, error) from error
        finally:
            client.close()
    return total
