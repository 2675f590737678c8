"""scorestream backfill: history from Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from stream.commands.console import App, json_option, pass_app, print_json, print_table
from stream.commands.options import Duration, from_option, scope_of, to_option

if TYPE_CHECKING:
    from stream.backfill.control import BackfillSystems
    from stream.backfill.plan import BackfillPlan
    from stream.backfill.status import BackfillStatus


_name = click.argument("name", required=False)


@click.group()
def command() -> None:
    """History from Postgres that the log never had, by Debezium's incremental snapshots; live changes go on meanwhile.

    Signals are written as the role of SCORESTREAM_BACKFILL_DSN, which may INSERT into the signal table.
    """


@command.command()
@click.option("--name", help="Name of the backfill.  [default: the time]")
@click.option("--customer", "customers", multiple=True, metavar="ID", help="Only this customer (repeatable).")
@from_option
@to_option
@click.option(
    "--window",
    "window_s",
    type=Duration(least_s=60, none=True),
    default="10d",
    show_default=True,
    metavar="SPAN",
    help="Span to read at a time; none = all at once.",
)
@click.option(
    "--table",
    "tables",
    type=click.Choice(["scorecards", "scores", "chats", "all"]),
    multiple=True,
    help="Which rows (repeatable).  [default: scorecards and scores]",
)
@click.option("--dry-run", is_flag=True, help="Count the rows of each window, and do nothing.")
@json_option
@pass_app
def start(
    app: App,
    name: str | None,
    customers: tuple[str, ...],
    start: str | None,
    end: str | None,
    window_s: float,
    tables: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Read one window after another, and show the progress. After a kill, `resume` goes on, on any host.

    A window holds the rows whose event time lies in it. That is a process scorecard's scorecard_time, or the started_at
    of the scorecard's conversation. A score follows its scorecard. Without --from or --to the bounds are the first and
    the last event time in Postgres.
    """
    from stream.backfill import control as backfill  # noqa: PLC0415
    from stream.supervise import stop_event  # noqa: PLC0415

    request = backfill.BackfillRequest(
        name=name,
        scope=scope_of(tuple(dict.fromkeys(customers)), start, end),
        window_s=window_s or None,
        tables=backfill.known_tables(tables),
    )
    with _systems(app) as systems:
        made = backfill.plan(systems, request)
        if dry_run:
            _show_plan(made, backfill.expected_s(made), as_json=as_json)
            return
        with stop_event() as stopping:
            ended = backfill.start(systems, made, stopping=stopping, show=not as_json)
    _show_end(ended, as_json=as_json)


@command.command()
@_name
@json_option
@pass_app
def resume(app: App, name: str | None, as_json: bool) -> None:
    """Go on with the first unread window.

    Without NAME this is the newest backfill that is not done.

    Ends a pause, too; a process that still works on the backfill goes on.
    """
    from stream.backfill import control as backfill  # noqa: PLC0415
    from stream.supervise import stop_event  # noqa: PLC0415

    with _systems(app) as systems, stop_event() as stopping:
        ended = backfill.resume(systems, name, stopping=stopping, show=not as_json)
        found = backfill.status(systems.broker, name) if ended is None else None
    if found is not None:
        _show(found, as_json=as_json)
    elif ended is not None:
        _show_end(ended, as_json=as_json)


@command.command()
@_name
@json_option
@pass_app
def pause(app: App, name: str | None, as_json: bool) -> None:
    """Pause after the rows under way, some thousands."""
    from stream.backfill import control as backfill  # noqa: PLC0415

    with _systems(app) as systems:
        own = backfill.pause(systems, name)
    _say("pause", own, as_json=as_json)


@command.command()
@_name
@json_option
@pass_app
def stop(app: App, name: str | None, as_json: bool) -> None:
    """End the backfill after the rows under way. What was read stays; `resume` can still go on."""
    from stream.backfill import control as backfill  # noqa: PLC0415

    with _systems(app) as systems:
        own = backfill.stop(systems, name)
    _say("stop", own, as_json=as_json)


@command.command()
@_name
@json_option
@pass_app
def status(app: App, name: str | None, as_json: bool) -> None:
    """Show the progress of NAME, or of the newest backfill; from any host."""
    from stream.backfill import control as backfill  # noqa: PLC0415

    with app.broker() as broker:
        found = backfill.status(broker, name)
    if found is not None:
        _show(found, as_json=as_json)
    elif as_json:
        print_json(None)
    else:
        click.echo("no backfill was ever started")


@contextmanager
def _systems(app: App) -> Iterator[BackfillSystems]:
    """All that a backfill talks to.

    Raises:
        UsageError: no role is named that may write signals.
    """
    from stream.backfill.control import BackfillSystems  # noqa: PLC0415
    from stream.backfill.signals import Signals  # noqa: PLC0415
    from stream.connect.rest import Connect  # noqa: PLC0415
    from stream.wiring import signals_postgres  # noqa: PLC0415

    settings = app.settings
    with (
        signals_postgres(settings) as writer,
        Signals(writer, connector=settings.connect.connector, publication=settings.postgres.publication) as signals,
        app.postgres() as postgres,
        Connect(settings.connect) as connect,
        app.broker() as broker,
    ):
        yield BackfillSystems(postgres, signals, connect, broker, settings.retry)


def _say(order: str, name: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "ordered": order})
    else:
        click.echo(f"backfill {name}: asked to {order}; `scorestream backfill status {name}` shows when it has")


def _show_plan(made: BackfillPlan, expected_s: float, *, as_json: bool) -> None:
    from stream.times import span  # noqa: PLC0415

    counts = {(step.window.number, step.table): step.rows for step in made.steps}
    if as_json:
        print_json(
            {
                "customers": list(made.customers),
                "rows": made.rows,
                "expected_s": round(expected_s),
                "windows": [
                    {"window": str(window), **{table: counts.get((window.number, table), 0) for table in made.tables}}
                    for window in made.windows
                ],
            }
        )
        return
    print_table(
        ["window", "from and to", *made.tables],
        [
            (window.number, str(window), *(counts.get((window.number, table), 0) for table in made.tables))
            for window in made.windows
        ],
    )
    click.echo(
        f"{made.rows:,} rows in {len(made.windows):,} windows, {len(made.steps):,} signals, about {span(expected_s)}; "
        "nothing was done"
    )


def _show_end(found: BackfillStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(
            f"backfill {found.plan.name}: done: {found.rows:,} rows in {len(found.plan.windows):,} windows, "
            f"{found.seconds:.1f} s, {found.rate:,.0f} rows/s; the workers index them as they come"
        )


def _show(found: BackfillStatus, *, as_json: bool) -> None:
    from stream.times import span  # noqa: PLC0415

    if as_json:
        print_json(found.as_json())
        return
    plan, step = found.plan, found.step
    parts = [
        f"backfill {plan.name}: {found.state}",
        f"{found.rows:,} of {plan.rows:,} rows",
        f"{found.windows:,} of {len(plan.windows):,} windows",
        f"{found.rate:,.0f} rows/s",
    ]
    if found.eta_s is not None and found.state == "running":
        parts.append(f"eta {span(found.eta_s)}")
    if step is not None:
        parts.append(f"at {step}")
    if found.driver:
        parts.append(f"driven by {found.driver}")
    click.echo(", ".join(parts))
    if found.state in ("interrupted", "stopped"):
        click.echo(f"`scorestream backfill resume {plan.name}` goes on")
