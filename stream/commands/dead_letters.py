"""scorestream dead-letters: what the pipeline refused, and sending it back."""

from __future__ import annotations

from collections import Counter

import click

from stream.commands.console import App, json_option, pass_app, print_json, print_table
from stream.kafka import dead_letters as dead_letter_log

_reason = click.option("--reason", "reasons", multiple=True, help="Only these reasons (repeatable).")
_topic = click.option("--topic", "topics", multiple=True, help="Only messages of these topics (repeatable).")


@click.group()
def command() -> None:
    """Messages that the pipeline refused: list them, show one whole, send them back."""


@command.command(name="list")
@_reason
@_topic
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Number of the newest to show.")
@json_option
@pass_app
def list_(app: App, reasons: tuple[str, ...], topics: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Show the newest dead letters, and count all by reason."""
    counts: Counter[str] = Counter()
    newest: list[dead_letter_log.Kept] = []
    for kept in dead_letter_log.read(app.settings, reasons=reasons, topics=topics):
        counts[kept.letter.reason] += 1
        newest = [*newest[-limit + 1 :], kept] if limit > 1 else [kept]
    if as_json:
        print_json({"total": counts.total(), "by_reason": counts, "letters": [kept.as_json() for kept in newest]})
        return
    print_table(
        ["offset", "reason", "topic", "partition", "source offset", "error"],
        [
            (str(k.offset), k.letter.reason, k.letter.message.topic, str(k.letter.message.partition),
             str(k.letter.message.offset), k.letter.error[:80])
            for k in newest
        ],
    )  # fmt: skip
    click.echo(f"{counts.total():,} dead letters" + "".join(f", {n:,} {reason}" for reason, n in counts.most_common()))


@command.command()
@click.argument("offset", type=click.IntRange(0))
@pass_app
@click.pass_context
def show(ctx: click.Context, app: App, offset: int) -> None:
    """Print the dead letter at OFFSET whole, as JSON."""
    for kept in dead_letter_log.read(app.settings):
        if kept.offset == offset:
            print_json(kept.as_json(with_value=True))
            return
    ctx.fail(
        f"no dead letter at offset {offset} of {app.settings.dead_letter_topic}; see `scorestream dead-letters list`"
    )


@command.command()
@_reason
@_topic
@click.option("--offset", "offsets", type=click.IntRange(0), multiple=True, help="Only these offsets (repeatable).")
@click.option("--execute", is_flag=True, help="Send them; without this the command only shows what it would send.")
@json_option
@pass_app
def redrive(
    app: App, reasons: tuple[str, ...], topics: tuple[str, ...], offsets: tuple[int, ...], execute: bool, as_json: bool
) -> None:
    """Send messages back to their topics. Rows written since stay: they are newer."""
    chosen = [
        kept
        for kept in dead_letter_log.read(app.settings, reasons=reasons, topics=topics)
        if not offsets or kept.offset in offsets
    ]
    sent = dead_letter_log.redrive(app.settings, chosen) if execute else 0
    if as_json:
        print_json({"matching": len(chosen), "sent": sent, "executed": execute})
    elif execute:
        click.echo(f"sent {sent:,} messages back")
    else:
        click.echo(f"would send {len(chosen):,} messages back; add --execute to do it")
