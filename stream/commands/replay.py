"""scorestream replay: the log again, beside live."""

from __future__ import annotations

from typing import Any

import click

from stream.commands.console import EXIT_FAILED, App, json_option, pass_app, print_json
from stream.commands.options import OneShown, installation_option, scope_of
from stream.commands.replay_screen import facts_of, resume_command, say, show, show_table
from stream.errors import ScorestreamError, UsageError
from stream.replay.start_points import StartPoint, parse_offsets
from stream.scope import Scope
from stream.times import parse_moment

processes_option = click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes on this host; other hosts add theirs by `replay join`.",
)
TABLES = ("chats", "scorecards", "scores")


@click.group()
def command() -> None:
    """The log again, beside live, in a consumer group of its own: all of it, or one customer's, or a window of time.

    Live offsets are never touched. Every host knows a replay by its name: its plan is in Kafka, and its progress is its
    group's committed offsets. It slows down while live is late (SCORESTREAM_REPLAY_LIVE_LAG_S).
    """


@command.command()
@click.argument("name")
@click.option("--to-earliest", is_flag=True, help="From the first message that the log has.  [default]")
@click.option(
    "--since",
    "--to-datetime",
    cls=OneShown,
    metavar="TIME",
    help="From the first message of this time (UTC unless it names a zone).",
)
@click.option("--to-offset", multiple=True, metavar="[TABLE:PARTITION=]OFFSET", help="From an offset (repeatable).")
@click.option("--shift-by", type=int, metavar="N", help="From N messages of each partition before live (N < 0).")
@click.option("--until", metavar="TIME", help="To the last message before this time.  [default: the end as it is now]")
@click.option("--customer", "customers", multiple=True, metavar="ID", help="Only this customer's (repeatable).")
@click.option(
    "--event-from", "--from", cls=OneShown, metavar="TIME", help="Only scorecards of this event time or later."
)
@click.option(
    "--event-to",
    "--to",
    cls=OneShown,
    metavar="TIME",
    help="Only scorecards before this event time; a date includes its day.",
)
@click.option(
    "--kind",
    type=click.Choice(["process", "conversation", "all"]),
    default="all",
    show_default=True,
    help="Only process scorecards, or only those of conversations.",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Choice(TABLES),
    help="Only this table (repeatable).  [default: scorecards, scores]",
)
@click.option("--into", metavar="DATABASE", help="Write to a shadow database instead, for `scorestream cutover`.")
@processes_option
@click.option(
    "--rate", type=click.IntRange(0), metavar="N", help="At most N messages/s, all processes together; 0 = no limit."
)
@click.option("--dry-run", is_flag=True, help="Show what it would read, how long it would take, how much matches.")
@installation_option
@json_option
@pass_app
@click.pass_context
def start(ctx: click.Context, app: App, /, name: str, **options: Any) -> None:
    """Start a replay, and work on it here until it is done.

    Ctrl-C and SIGTERM finish the batches and commit. `replay resume NAME` goes on from there, also after kill -9.
    """
    from stream.commands import dry_run  # noqa: PLC0415
    from stream.replay import make_plan  # noqa: PLC0415  Kafka's clients take a while to import
    from stream.replay.state import ReplayTopic  # noqa: PLC0415
    from stream.replay.status import last_rate  # noqa: PLC0415

    scope = scope_of(
        tuple(sorted(set(options["customers"]))),
        options["event_from"],
        options["event_to"],
        kind=options["kind"],
        names=("--event-from", "--event-to"),
    )
    request = make_plan.ReplayRequest(
        name=name,
        start=_start_point(options),
        until_ms=None if options["until"] is None else parse_moment(options["until"]),
        scope=scope,
        tables=options["tables"],
        into=options["into"],
        rate=options["rate"] or None,
    )
    with app.stores(whole_tables=False) as stores, ReplayTopic(stores.broker) as topic:
        make_plan.check_name(topic, name)
        made = make_plan.plan(stores, request)
        if options["dry_run"]:
            sample, rate = make_plan.sample(stores, made), last_rate(topic.refresh().values())
            dry_run.show(made, sample, rate, of=app.identity(stores.broker), as_json=options["as_json"])
            return
        make_plan.create(stores, topic, made)
    _run(ctx, app, name, processes=options["processes"], as_json=options["as_json"])


@command.command()
@click.argument("name")
@processes_option
@click.option("--rate", type=click.IntRange(0), metavar="N", help="New ceiling in messages/s; 0 = none.")
@installation_option
@json_option
@pass_app
@click.pass_context
def resume(ctx: click.Context, app: App, name: str, processes: int, rate: int | None, as_json: bool) -> None:
    """Go on with a stopped, killed or paused replay."""
    from stream.replay import control as replay  # noqa: PLC0415

    app.check()
    with app.broker() as broker:
        replay.reopen(broker, name, rate=rate)
    _run(ctx, app, name, processes=processes, as_json=as_json)


@command.command()
@click.argument("name")
@processes_option
@installation_option
@json_option
@pass_app
@click.pass_context
def join(ctx: click.Context, app: App, name: str, processes: int, as_json: bool) -> None:
    """Add processes to a running replay, on any host."""
    app.check()
    _run(ctx, app, name, processes=processes, as_json=as_json)


@command.command(hidden=True)
@click.argument("name")
@installation_option
@pass_app
@click.pass_context
def member(ctx: click.Context, app: App, name: str) -> None:
    """One process of `start`, `resume` and `join`."""
    from stream.replay import processes  # noqa: PLC0415

    app.check()
    ctx.exit(processes.run_member(app.settings, name))


@command.command()
@click.argument("name")
@installation_option
@json_option
@pass_app
def pause(app: App, name: str, as_json: bool) -> None:
    """Let all processes finish their batches, commit and end.

    `replay resume` goes on.
    """
    from stream.replay import control as replay  # noqa: PLC0415

    app.check(must_answer=False)  # it may be given because a store is away
    with app.broker() as broker:
        say(name, replay.want(broker, name, "paused"), of=app.identity(broker), as_json=as_json)


@command.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show its state, and change nothing.")
@click.option("--repair/--no-repair", default=True, show_default=True, help="Repair what it left outdated.")
@installation_option
@json_option
@pass_app
def cancel(app: App, name: str, dry_run: bool, repair: bool, as_json: bool) -> None:
    """End a replay for good. The rows that it wrote stay.

    The last pass of a replay corrects rows that changed meanwhile. This one will have none. So its scorecards are
    compared with Postgres, and repaired. After a kill the same command goes on.
    """
    from stream.replay import control as replay  # noqa: PLC0415

    if dry_run:
        _show_dry(app, name, "cancelled", as_json=as_json)
        return
    app.check(must_answer=False)
    with app.broker() as broker:
        state = replay.want(broker, name, "cancelled")
        left, own = replay.unconfirmed(broker, name, options=app.chooses), app.identity(broker)
        if left is None or (repair and _is_repaired(app, left.scope)):
            replay.cancelled(broker, name)
        else:
            click.echo(left.sentence, err=True)
    say(name, state, of=own, as_json=as_json)


@command.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Show its state, and change nothing.")
@installation_option
@json_option
@pass_app
def delete(app: App, name: str, dry_run: bool, as_json: bool) -> None:
    """Delete a replay's plan and offsets. Rows stay, and so does a shadow database."""
    from stream.replay import control as replay  # noqa: PLC0415

    if dry_run:
        _show_dry(app, name, "deleted", as_json=as_json)
        return
    app.check(must_answer=False)
    with app.broker() as broker:
        advice, own = replay.unconfirmed(broker, name, options=app.chooses), app.identity(broker)
        replay.delete(broker, name)
    say(name, "deleted", of=own, as_json=as_json)
    if advice is not None:
        click.echo(advice.sentence, err=True)


@command.command()
@click.argument("name")
@installation_option
@json_option
@pass_app
def status(app: App, name: str, as_json: bool) -> None:
    """Show the progress of a replay, from any host."""
    (facts,) = facts_of(app, name)
    show(facts, app, as_json=as_json)


@command.command(name="list")
@installation_option
@json_option
@pass_app
def list_(app: App, as_json: bool) -> None:
    """List all replays."""
    found = facts_of(app)
    if as_json:
        print_json(found)
    else:
        show_table(found)


def _start_point(options: dict[str, Any]) -> StartPoint:
    names = ("to_earliest", "since", "to_offset", "shift_by")
    given = [name for name in names if options[name] not in (None, False, ())]
    if len(given) > 1:
        raise UsageError("only one of " + ", ".join("--" + name.replace("_", "-") for name in given) + " can be given")
    if options["since"] is not None:
        return StartPoint(at_ms=parse_moment(options["since"]))
    if options["to_offset"]:
        return StartPoint(offsets=parse_offsets(options["to_offset"]))
    if options["shift_by"] is not None:
        if options["shift_by"] >= 0:
            raise UsageError("--shift-by counts back from where live is: give a negative number")
        return StartPoint(shift_by=options["shift_by"])
    return StartPoint(earliest=True)


def _run(ctx: click.Context, app: App, name: str, *, processes: int, as_json: bool) -> None:
    from stream.replay import processes as family  # noqa: PLC0415

    level = ctx.find_root().params.get("log_level")
    options = app.chooses
    state = family.run(app.settings, name, processes=processes, log_level=level, options=options)
    (facts,) = facts_of(app, name)
    show(facts, app, as_json=as_json)
    if state == "stopped":
        click.echo(f"stopped; go on with: {resume_command(app, name)}", err=True)
    if state not in {"done", "paused", "cancelled", "stopped", "running", "pausing"}:
        ctx.exit(EXIT_FAILED)


def _is_repaired(app: App, scope: Scope) -> bool:
    """Compare these scorecards and repair what differs; False when that cannot be done now, or leaves something."""
    from stream.verify.repair import Options, verify  # noqa: PLC0415

    click.echo("comparing its scorecards with Postgres, and repairing what it left outdated", err=True)
    try:
        with app.stores() as stores, app.reindexing(stores.postgres) as reindex:
            return verify(stores, Options(scope), reindex=reindex).clean
    except ScorestreamError as error:  # the caller says what to run instead
        click.echo(str(error), err=True)
        return False


def _show_dry(app: App, name: str, done: str, *, as_json: bool) -> None:
    (facts,) = facts_of(app, name)
    show(facts, app, as_json=as_json)
    if not as_json:
        click.echo(f"dry run: nothing was {done}")
