"""scorestream audit: who changed what, and when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import App, json_option, pass_app, print_json, print_table
from stream.errors import UsageError
from stream.times import duration, parse_duration, parse_moment, time_text

if TYPE_CHECKING:
    from stream.kafka.audit import Run


@click.command()
@click.option("--since", metavar="TIME", help="Only calls from then on: 24h, 7d, or a time such as 2026-01-31T12:00.")
@click.option("--changes-only", is_flag=True, help="Leave out dry runs.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Number of the newest to show.")
@json_option
@pass_app
def command(app: App, since: str | None, changes_only: bool, limit: int, as_json: bool) -> None:
    """List the calls of commands that change something: who, when, what, dry run or not, and how each ended.

    They are in the topic `<prefix>.audit`, which is never compacted. A call that is `started` still runs, or was
    killed. `refused` means that the command changed nothing, because it was asked for something impossible.
    """
    from stream.kafka.audit import read  # noqa: PLC0415  librdkafka takes a while to import

    since_ms = 0 if since is None else _moment(since)
    with app.broker() as broker:
        found = [each for each in read(broker, since_ms=since_ms) if not (changes_only and each.began.dry_run)]
    shown = found[-limit:]
    if as_json:
        print_json([_as_json(each) for each in shown])
        return
    print_table(
        ["when (UTC)", "who", "command", "outcome", "took", "error"],
        [
            (
                time_text(each.began.at_ms),
                each.began.who,
                _typed(each),
                each.outcome + (" (dry run)" if each.began.dry_run else ""),
                "" if each.ended is None else duration((each.ended.at_ms - each.began.at_ms) / 1000),
                "" if each.ended is None else each.ended.error,
            )
            for each in shown
        ],
    )
    if len(found) > limit:
        click.echo(f"{len(found) - limit:,} older calls: --limit, or --json", err=True)


def _moment(text: str) -> int:
    try:
        return int((time.time() - parse_duration(text)) * 1000)
    except UsageError:
        return parse_moment(text)


def _typed(run: Run) -> str:
    """The command as it was typed. Arguments, whose names are in capitals, stand without them."""
    words = [run.began.command]
    for name, value in run.began.options.items():
        for each in value if isinstance(value, list) else [value]:
            words.append(str(each) if name.isupper() else f"--{name}" if each is True else f"--{name} {each}")
    return " ".join(words)


def _as_json(run: Run) -> dict[str, Any]:
    began, ended = run.began, run.ended
    return {
        "run": began.run,
        "began_at": time_text(began.at_ms),
        "ended_at": None if ended is None else time_text(ended.at_ms),
        "who": began.who,
        "pid": began.pid,
        "command": began.command,
        "options": began.options,
        "dry_run": began.dry_run,
        "outcome": run.outcome,
        "exit_code": None if ended is None else ended.exit_code,
        "error": "" if ended is None else ended.error,
        "version": began.version,
    }
