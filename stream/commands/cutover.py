"""scorestream cutover: a shadow database takes the live one's place."""

from __future__ import annotations

from functools import partial

import click

from stream.commands.console import App, json_option, pass_app, print_json
from stream.errors import UsageError


@click.command()
@click.argument("name")
@click.option("--back", is_flag=True, help="Bring the old tables up to date, and put them back.")
@click.option("--drop-old", is_flag=True, help="Drop the tables that a cutover replaced; --back is impossible then.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the connector before comparing.")
@click.option("--dry-run", is_flag=True, help="Show what the command would do, and do nothing.")
@json_option
@pass_app
def command(app: App, name: str, back: bool, drop_old: bool, wait: bool, dry_run: bool, as_json: bool) -> None:
    """Swap in the tables that `replay start NAME --into DATABASE` has filled.

    Catches the shadow up, verifies it against Postgres, and refuses when they differ. Then it holds live's writes back
    for a moment, and exchanges the tables on every shard. The old tables stay, under the shadow's name, until
    --drop-old.
    """
    from stream.cutover import cutover  # noqa: PLC0415  Kafka's clients take a while to import
    from stream.cutover.follower import Follower  # noqa: PLC0415
    from stream.cutover.outlook import outlook  # noqa: PLC0415
    from stream.wiring import clients_of_replay, open_stores  # noqa: PLC0415

    settings = app.settings
    if back and drop_old:
        raise UsageError("--back and --drop-old exclude each other")
    if dry_run:
        with open_stores(settings) as stores:
            would = outlook(stores, name, back=back, drop=drop_old)
        if as_json:
            print_json(would.as_json())
        else:
            click.echo(f"cutover {name}: {would}; dry run: nothing was done")
        return
    if drop_old:
        with open_stores(settings) as stores:
            database = cutover.drop_old(stores, name)
        if as_json:
            print_json({"name": name, "dropped": database})
        else:
            click.echo(f"cutover {name}: the old tables, database {database}, are dropped")
        return
    with open_stores(settings, statement_timeout_s=0) as stores:
        clients = clients_of_replay(settings)
        follow = partial(Follower, stores, clients, live_lag_s=settings.replay.live_lag_s)
        cut = cutover.cutover(
            stores, follow, name, back=back, wait=wait, say=lambda text: click.echo(f"cutover {name}: {text}", err=True)
        )
    if as_json:
        print_json(cut.as_json())
        return
    rows = "" if cut.verified is None else f"; verified {sum(cut.verified.rows.values()):,} rows, all equal"
    click.echo(
        f"cutover {name}: {'taken back' if back else 'done'}{rows}; caught up {cut.caught_up:,} messages, live's "
        f"writes waited {cut.held_s:.2f} s, the exchange took {cut.exchange_s * 1000:.0f} ms"
    )
    again = f"scorestream cutover {name}"
    way = f"`{again}` cuts over again" if back else f"`{again} --back` takes it back, `{again} --drop-old` drops them"
    click.echo(f"the replaced tables stand in database {cut.old}; {way}")
