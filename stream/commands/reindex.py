"""scorestream reindex: writes scorecards again as Postgres has them."""

from __future__ import annotations

from pathlib import Path

import click

from stream.commands.console import App, json_option, pass_app, print_json
from stream.commands.options import scope_of, scope_options, written_database_option


@click.command()
@scope_options
@click.option("--id", "ids", multiple=True, metavar="UUID", help="This scorecard (repeatable).")
@click.option(
    "--ids-file", type=click.Path(dir_okay=False, path_type=Path), help="The scorecards in this file, one id to a line."
)
@click.option(
    "--all", "everything", is_flag=True, help="All scorecards; needed when neither customer nor time is given."
)
@written_database_option
@click.option("--dry-run", is_flag=True, help="Count the scorecards, and write nothing.")
@click.option("--restart", is_flag=True, help="Begin again instead of where an interrupted run of this call ended.")
@json_option
@pass_app
def command(
    app: App,
    customers: tuple[str, ...],
    start: str | None,
    end: str | None,
    kind: str,
    ids: tuple[str, ...],
    ids_file: Path | None,
    everything: bool,
    database: str | None,
    dry_run: bool,
    restart: bool,
    as_json: bool,
) -> None:
    """Write scorecards and their scores again as Postgres has them now.

    Rows of these scorecards that stand elsewhere get delete markers.

    It runs beside the live worker, and without holes for readers. The work is done in chunks of 1,000. The same call
    goes on where an interrupted one ended. `verify --repair` finds rows of scorecards that are gone in Postgres.
    """
    from stream.errors import UsageError  # noqa: PLC0415
    from stream.reindex import job as reindex_job  # noqa: PLC0415  imported when it runs

    scope = scope_of(customers, start, end, kind=kind)
    windowed = bool(customers or start or end or kind != "all" or everything)
    if bool(ids or ids_file) == windowed:
        raise UsageError("say which: --customer/--from/--to/--kind (or --all), or --id/--ids-file")
    settings = app.settings
    chosen = [reindex_job.canonical(i) for i in ids] + (reindex_job.read_ids(ids_file) if ids_file else [])
    chosen = list(dict.fromkeys(chosen))
    if dry_run:
        with app.postgres() as postgres:
            total = reindex_job.count_scope(postgres, scope) if windowed else len(chosen)
        if as_json:
            print_json({"dry_run": True, "total": total})
        else:
            click.echo(f"{total:,} scorecards would be reindexed")
        return
    with app.postgres() as postgres, app.reindexing(postgres, database) as reindex:
        if windowed:
            done = reindex_job.reindex_scope(postgres, reindex, scope, state_dir=settings.state_dir, restart=restart)
        else:
            done = reindex_job.reindex_ids(postgres, reindex, chosen, state_dir=settings.state_dir)
    if as_json:
        print_json(done.as_json())
        return
    click.echo(
        f"reindexed {done.reindexed:,} of {done.total:,} scorecards: {done.shown:,} are shown, "
        f"{done.retired:,} are not (appeals, waiting, or gone)"
        + (f"; resumed at {done.resumed_at:,}" if done.resumed_at else "")
        + (f"; {done.failed:,} have rows that ClickHouse cannot hold, see the log" if done.failed else "")
    )
