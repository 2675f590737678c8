"""stream/clickhouse/schema/*.sql -> DDL for a database; applies it to the shards, and compares the shards with it.

Enters: the store of the shards, with a database. Leaves: statements, and the differences of each shard. Every
statement can run again; nothing is dropped. The same DDL serves for a shadow database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from stream.clickhouse.schema.layout import PARTITION_KEY, PRIMARY_KEY, columns, sorting_key, view_of
from stream.clickhouse.schema.policies import policies
from stream.clickhouse.schema.shard_mark import mark_in, wanted_mark, with_mark
from stream.clickhouse.shards import Rows, Shards, shard_error
from stream.errors import UsageError
from stream.settings_sections import ClickHouseSettings
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


def apply(shards: Shards) -> Iterator[tuple[int, int]]:
    """Run the DDL in the store's database, and write each shard's place into its tables.

    Yields (shard, statements run) as each shard is done.

    Raises:
        UsageError: tables that are there are another shard's; nothing was changed.
        ClickHouseUnavailable: a shard does not answer.
        ClickHouseRefused: a shard refused a statement.
    """
    ddl = statements(shards.database, shards.settings.cluster)
    for shard, replica in _servers(shards):
        with shards.server(shard, replica) as client:
            _missing_marks(client, shards, shard)
    for shard in range(shards.count):
        own = ddl if shard in target_shards(shards.settings) else []
        for statement in own:
            shards.command(shard, statement)
        run = len(own)
        # Each server's own, never ON CLUSTER: a comment is not replicated, and other shards have other numbers.
        for _, replica in _servers(shards, shard):
            with shards.server(shard, replica) as client:
                for statement in _missing_marks(client, shards, shard):
                    client.command(statement)
                    run += 1
        yield shard, run


def _servers(shards: Shards, *chosen: int) -> Iterator[tuple[int, int]]:
    """(shard, replica) of every server in the list, or of those of these shards."""
    for shard in chosen or range(shards.count):
        for replica in range(len(shards.replicas[shard])):
            yield shard, replica


def status(shards: Shards) -> list[Difference]:
    """All differences on any shard; empty = the shards are as the DDL makes them.

    Raises:
        ClickHouseUnavailable: a shard does not answer.
    """
    return [each for shard in range(shards.count) for each in status_of(shards, shard)]


def status_of(shards: Shards, shard: int) -> list[Difference]:
    """As `status`, of one shard with all its replicas."""
    found: list[Difference] = []
    for _, replica in _servers(shards, shard):
        with shards.server(shard, replica) as client:
            found += _differences(client, shards, shard)
            found += _hidden(client, shards, shard)
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


def _missing_marks(client: Any, shards: Shards, shard: int) -> list[str]:
    """Statements that write the shard's place into its tables that do not say it yet.

    Raises:
        UsageError: they say another one.
    """
    database = shards.database
    names = ", ".join(f"'{table.target}'" for table in TARGETS)
    query = f"SELECT name, comment FROM system.tables WHERE database = '{database}' AND name IN ({names}) ORDER BY name"
    wanted, found = wanted_mark(shards.settings, shard), []
    for name, comment in client.query(query).result_rows:
        mark = mark_in(comment)
        if mark is None:
            text = with_mark(comment, wanted).replace("\\", "\\\\").replace("'", "\\'")
            found.append(f"ALTER TABLE `{database}`.`{name}` MODIFY COMMENT '{text}'")
        elif mark != wanted:
            raise UsageError(
                f"{shards.where(shard)}: {database}.{name} says `{mark}`, but the "
                f"settings make it `{wanted}`; nothing was changed. Give SCORESTREAM_CLICKHOUSE_SHARDS in the order "
                "and number that the tables say; another number of shards takes a new database "
                "(docs/guides/upgrade.md)"
            )
    return found


def _differences(client: Any, shards: Shards, shard: int) -> list[Difference]:
    wanted = {table.target: table for table in TARGETS}
    rows = client.query(
        "SELECT name, engine, engine_full, partition_key, primary_key, sorting_key, comment FROM system.tables "
        f"WHERE database = '{shards.database}'",
    ).result_rows
    present = {name: rest for name, *rest in rows}
    held: dict[str, dict[str, str]] = {}
    for table, column, kind in client.query(
        f"SELECT table, name, type FROM system.columns WHERE database = '{shards.database}'"
    ).result_rows:
        held.setdefault(table, {})[column] = kind
    found: list[Difference] = []
    for name, table in wanted.items():
        if name not in present:
            found.append(Difference(shard, name, "missing"))
        else:
            *described, comment = present[name]
            found += [Difference(shard, name, fault) for fault in _table_faults(table, described)]
            found += [Difference(shard, name, fault) for fault in _mark_faults(shards.settings, shard, comment)]
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


def _hidden(client: Any, shards: Shards, shard: int) -> Iterator[Difference]:
    def ask(query: str, values: dict[str, str]) -> Rows:
        try:
            rows: Rows = client.query(query, parameters=values).result_rows
        except Exception as error:
            raise shard_error(shards.settings, shard, error) from error
        return rows

    for policy in policies(ask, shards.database) or ():
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


def prepare_shadow(shadow: Shards) -> None:
    """Create the shadow's tables on every shard.

    Raises:
        UsageError: the shadow already has rows.
    """
    for _ in apply(shadow):
        pass
    if rows := rows_in(shadow):
        raise UsageError(
            f"database {shadow.database} holds {rows:,} rows already: replay into another one, or drop it on every "
            "shard"
        )


def rows_in(shards: Shards) -> int:
    """Stored rows of the target tables, all versions, on all shards."""
    tables = ", ".join(f"'{table.target}'" for table in TARGETS)
    query = (
        f"SELECT sum(rows) FROM system.parts WHERE active AND database = '{shards.database}' AND table IN ({tables})"
    )
    return sum(int(rows) for _, rows in shards.everywhere(query))
