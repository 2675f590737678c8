"""scorestream schema: the ClickHouse tables and views on every shard."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from stream.clickhouse.schema import apply as schema_apply
from stream.commands.console import EXIT_DIFFERENCES, App, json_option, pass_app, print_json, print_table

database_option = click.option(
    "--database",
    envvar="SCORESTREAM_CLICKHOUSE_DATABASE",
    show_envvar=True,
    metavar="NAME",
    help="Database of the tables.  [default: scorestream]",
)


@click.group()
def command() -> None:
    """ClickHouse tables and views: apply the DDL to every shard, compare them with it."""


@command.command()
@database_option
@click.option("--dry-run", is_flag=True, help="Print the DDL instead of running it.")
@json_option
@pass_app
def apply(app: App, database: str | None, dry_run: bool, as_json: bool) -> None:
    """Create missing databases, tables and views. Safe to run again; drops nothing."""
    settings = app.settings.clickhouse
    if dry_run:
        statements = schema_apply.statements(database or settings.database, settings.cluster)
        if as_json:
            print_json({"database": database or settings.database, "statements": list(statements)})
            return
        for statement in statements:
            click.echo(statement + ";\n")
        return
    ran: list[dict[str, Any]] = []
    with app.shards(database) as shards:
        for shard, count in schema_apply.apply(shards):
            ran.append({"shard": shard, "url": settings.shards[shard], "statements": count})
            if not as_json:
                click.echo(f"shard {shard} {settings.shards[shard]}: {count} statements run")
    if as_json:
        print_json({"database": database or settings.database, "shards": ran})


@command.command()
@database_option
@json_option
@pass_app
@click.pass_context
def status(ctx: click.Context, app: App, database: str | None, as_json: bool) -> None:
    """Compare the tables of every shard with the DDL. Exit code 3 when something differs."""
    settings = app.settings.clickhouse
    with app.shards(database) as shards:
        found = schema_apply.status(shards)
    if as_json:
        print_json(
            {
                "database": database or settings.database,
                "shards": settings.shards,
                "differences": [asdict(each) for each in found],
            }
        )
    elif found:
        print_table(["shard", "what", "fault"], [(each.shard, each.name, each.fault) for each in found])
    else:
        click.echo(f"{len(settings.shards)} shards: database {database or settings.database} is as the DDL makes it")
    if found:
        ctx.exit(EXIT_DIFFERENCES)
