"""scorestream purge: removes appeals from ClickHouse."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from stream.commands.console import EXIT_FAILED, App, json_option, pass_app, print_json, print_table
from stream.commands.options import scope_of, scope_options, written_database_option

if TYPE_CHECKING:
    from stream.verify.visible_appeals import Appeals


@click.group()
def command() -> None:
    """Remove from ClickHouse what an earlier indexer left there."""


@command.command()
@scope_options
@written_database_option
@click.option("--dry-run", is_flag=True, help="Show the counts, and do nothing.")
@click.option("--restart", is_flag=True, help="Begin again instead of where an interrupted run of this call ended.")
@json_option
@pass_app
@click.pass_context
def appeals(
    ctx: click.Context,
    app: App,
    customers: tuple[str, ...],
    start: str | None,
    end: str | None,
    kind: str,
    database: str | None,
    dry_run: bool,
    restart: bool,
    as_json: bool,
) -> None:
    """Retire appeals and their scores. Postgres decides which scorecards are appeals.

    Counts them by customer and type, beside the rows that ClickHouse shows of them. Then it retires those rows, and
    counts again. The same call goes on where an interrupted one ended. Exit code 1 when some are visible afterwards.
    """
    from stream.verify.purge import purge_appeals  # noqa: PLC0415  imported when it runs

    with ExitStack() as opened:
        postgres = opened.enter_context(app.postgres())
        done = purge_appeals(
            postgres,
            opened.enter_context(app.shards(database, patient=True)),
            scope_of(customers, start, end, kind=kind),
            reindex=None if dry_run else opened.enter_context(app.reindexing(postgres, database)),
            state_dir=app.settings.state_dir,
            restart=restart,
            on_found=(lambda _: None) if as_json else _show,
        )
    if as_json:
        print_json(done.as_json())
    elif dry_run:
        click.echo(f"{done.total:,} appeals; {done.visible_before:,} rows of them would be retired")
    else:
        click.echo(
            f"purged: {done.total:,} appeals, {done.retired:,} were shown and are retired, "
            f"{done.visible_after:,} rows are visible now"
            + (f"; resumed at {done.resumed_at:,}" if done.resumed_at else "")
        )
    if not dry_run and done.visible_after:
        ctx.exit(EXIT_FAILED)


def _show(found: list[Appeals]) -> None:
    print_table(
        ["customer", "replica", "request", "resolve", "scorecards shown", "scores shown"],
        [tuple(each.as_json().values()) for each in found],
    )
