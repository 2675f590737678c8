"""scorestream rewind: the live group's committed offsets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import App, confirm, json_option, pass_app, print_json, print_table
from stream.commands.options import OneShown
from stream.errors import UsageError
from stream.replay.start_points import StartPoint, parse_offsets
from stream.times import parse_duration, parse_moment

if TYPE_CHECKING:
    from stream.replay.rewind import Move

TABLES = ("chats", "scorecards", "scores")


@click.command()
@click.option("--by-duration", metavar="DURATION", help="To the messages of this long ago: 10m, 2h, PT10M.")
@click.option(
    "--to-datetime",
    "--since",
    "to_datetime",
    cls=OneShown,
    metavar="TIME",
    help="To the first message of this time (UTC unless it names a zone).",
)
@click.option("--to-offset", multiple=True, metavar="[TABLE:PARTITION=]OFFSET", help="To an offset (repeatable).")
@click.option("--shift-by", type=int, metavar="N", help="By N messages in each partition; negative = back.")
@click.option("--to-earliest", is_flag=True, help="To the first message that the log has.")
@click.option("--to-latest", is_flag=True, help="To the end: messages that wait are skipped and stay unindexed.")
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Choice(TABLES),
    help="Only this table (repeatable).  [default: all]",
)
@click.option("--dry-run", is_flag=True, help="Show the moves only.")
@click.option("--yes", is_flag=True, help="Do not ask before the offsets are moved.")
@click.option("--execute", is_flag=True, hidden=True, help="Now --yes.")
@json_option
@pass_app
def command(app: App, /, **options: Any) -> None:
    """Move the live group's committed offsets, back or forward. The workers must be stopped.

    Processing messages again changes no row, because each row has a version. Shows from, to and messages for each
    partition, and asks before it moves them.
    """
    from stream.replay import rewind  # noqa: PLC0415  Kafka's clients take a while to import

    settings = app.settings
    if options["execute"]:
        click.echo("--execute is the old name of --yes", err=True)
    yes = options["yes"] or options["execute"]
    if options["dry_run"] and yes:
        raise UsageError("--dry-run and --yes exclude each other: give one")
    point = _point(options)
    with app.broker() as broker:
        moves = rewind.plan(broker, point, tables=options["tables"] or TABLES)
        if not options["as_json"]:
            _show(settings.kafka.group, moves)
        executed = bool(moves) and not options["dry_run"]
        if executed:
            if not yes:
                confirm("the offsets would be moved")
            rewind.execute(broker, moves, settings.epochs)
    undo = rewind.undo(settings.topics, moves)
    if options["as_json"]:
        print_json(
            {
                "group": settings.kafka.group,
                "executed": executed,
                "messages": sum(move.messages for move in moves),
                "partitions": [
                    {
                        "topic": move.tp.topic,
                        "partition": move.tp.partition,
                        "from": move.before,
                        "to": move.after,
                        "messages": move.messages,
                    }
                    for move in moves
                ],
                "undo": undo,
            }
        )
        return
    if executed:
        click.echo("moved; start the workers again")
        if undo:
            click.echo(f"to undo it: {undo}")
    elif moves:
        click.echo("dry run: nothing was moved")


def _show(group: str, moves: Sequence[Move]) -> None:
    if not moves:
        click.echo(f"group {group}: all offsets are there already; nothing moves")
        return
    print_table(
        ["topic", "partition", "from", "to", "messages"],
        [(move.tp.topic, move.tp.partition, move.before, move.after, move.messages) for move in moves],
    )
    total = sum(move.messages for move in moves)
    what = f"{total:,} messages to be processed again" if total >= 0 else f"{-total:,} messages to be skipped"
    click.echo(f"group {group}: {what}, {len(moves)} partitions")


def _point(options: dict[str, Any]) -> StartPoint:
    names = ("by_duration", "to_datetime", "to_offset", "shift_by", "to_earliest", "to_latest")
    given = [name for name in names if options[name] not in (None, False, ())]
    if len(given) != 1:
        wanted = ", ".join("--" + name.replace("_", "-") for name in names)
        raise UsageError(f"say where to, by one of {wanted}")
    if options["by_duration"] is not None:
        return StartPoint(at_ms=int((time.time() - parse_duration(options["by_duration"])) * 1000))
    if options["to_datetime"] is not None:
        return StartPoint(at_ms=parse_moment(options["to_datetime"]))
    if options["to_offset"]:
        return StartPoint(offsets=parse_offsets(options["to_offset"]))
    if options["shift_by"] is not None:
        return StartPoint(shift_by=options["shift_by"])
    return StartPoint(earliest=options["to_earliest"], latest=options["to_latest"])
