"""scorestream rewind: the live group's committed offsets."""

from __future__ import annotations

import time
from typing import Any

import click

from stream.commands.console import App, json_option, pass_app, print_json, print_table
from stream.errors import UsageError
from stream.replay.start_points import StartPoint, parse_offsets
from stream.times import parse_duration, parse_moment

TABLES = ("chats", "scorecards", "scores")


@click.command()
@click.option("--by-duration", metavar="DURATION", help="To the messages of this long ago: 10m, 2h, PT10M.")
@click.option("--to-datetime", metavar="TIME", help="To the first message of this time (UTC unless it names a zone).")
@click.option("--to-offset", multiple=True, metavar="[TABLE:PARTITION=]OFFSET", help="To an offset. Repeatable.")
@click.option("--shift-by", type=int, metavar="N", help="By N messages in each partition; negative = back.")
@click.option("--to-earliest", is_flag=True, help="To the first message that the log has.")
@click.option("--to-latest", is_flag=True, help="To the end: messages that wait are skipped and stay unindexed.")
@click.option("--table", "tables", multiple=True, type=click.Choice(TABLES), help="[default: all]")
@click.option("--dry-run", is_flag=True, help="Show the moves only.  [default, unless --execute]")
@click.option("--execute", is_flag=True, help="Move the offsets; without this the command only shows the moves.")
@json_option
@pass_app
def command(app: App, /, **options: Any) -> None:
    """Move the live group's committed offsets, back or forward. The workers must be stopped.

    Processing messages again changes no row, because each row has a version. Shows from, to and messages for each
    partition.
    """
    from stream.replay import rewind  # noqa: PLC0415  Kafka's clients take a while to import

    settings = app.settings
    if options["dry_run"] and options["execute"]:
        raise UsageError("--dry-run and --execute exclude each other: give one")
    point = _point(options)
    with app.broker() as broker:
        moves = rewind.plan(broker, point, tables=options["tables"] or TABLES)
        if options["execute"] and moves:
            rewind.execute(broker, moves)
    undo = rewind.undo(settings.topics, moves)
    if options["as_json"]:
        print_json(
            {
                "group": settings.kafka.group,
                "executed": bool(options["execute"] and moves),
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
    if not moves:
        click.echo(f"group {settings.kafka.group}: all offsets are there already; nothing moves")
        return
    print_table(
        ["topic", "partition", "from", "to", "messages"],
        [(move.tp.topic, move.tp.partition, move.before, move.after, move.messages) for move in moves],
    )
    total = sum(move.messages for move in moves)
    what = f"{total:,} messages to be processed again" if total >= 0 else f"{-total:,} messages to be skipped"
    click.echo(f"group {settings.kafka.group}: {what}, {len(moves)} partitions")
    if not options["execute"]:
        click.echo("dry run: nothing was moved; stop the workers and add --execute to do it")
        return
    click.echo("moved; start the workers again")
    if undo:
        click.echo(f"to undo it: {undo}")


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
