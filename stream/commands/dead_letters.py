"""scorestream dead-letters: the messages that the pipeline refused, and how each letter was settled."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import App, json_option, pass_app, print_json, print_table
from stream.errors import UsageError

if TYPE_CHECKING:
    from stream.kafka.dead_letters import Kept
    from stream.kafka.settled_letters import State

_Command = Callable[..., Any]


def _choice(command: _Command) -> _Command:
    """--reason, --topic and --offset: which letters."""
    for option in (
        click.option(
            "--offset", "offsets", type=click.IntRange(0), multiple=True, help="Only this offset (repeatable)."
        ),
        click.option("--topic", "topics", multiple=True, help="Only messages of this topic (repeatable)."),
        click.option("--reason", "reasons", multiple=True, help="Only this reason (repeatable)."),
    ):
        command = option(command)
    return command


_all = click.option("--all", "everything", is_flag=True, help="Settled letters, too.  [default: open letters]")
_dry_run = click.option("--dry-run", is_flag=True, help="Count the letters, and change nothing.")


@click.group()
def command() -> None:
    """Messages that the pipeline refused: list them, show one whole, settle them."""


@command.command(name="list")
@_choice
@_all
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Number of the newest to show.")
@json_option
@pass_app
def list_(app: App, /, limit: int, as_json: bool, everything: bool, **choice: Any) -> None:
    """Show the newest open dead letters, and count all by reason."""
    counts: Counter[str] = Counter()
    states: Counter[str] = Counter()
    newest: deque[dict[str, Any]] = deque(maxlen=limit)
    for kept, state in _letters(app, choice):
        states[state] += 1
        if everything or state == "open":
            counts[kept.letter.reason] += 1
            newest.append(kept.as_json() | {"state": state})
    if as_json:
        print_json(
            {"total": counts.total(), "by_state": states, "by_reason": counts, "letters": list(newest)},
        )
        return
    print_table(
        ["offset", "state", "reason", "topic", "partition", "source offset", "error"],
        [
            (str(k["offset"]), k["state"], k["reason"], k["topic"], str(k["partition"]), str(k["source_offset"]),
             k["error"][:80])
            for k in newest
        ],
    )  # fmt: skip
    click.echo(f"{states['open']:,} open dead letters, {states.total() - states['open']:,} settled")
    for reason, count in counts.most_common():
        click.echo(f"  {count:,} {reason}")


@command.command()
@click.argument("offset", type=click.IntRange(0))
@pass_app
@click.pass_context
def show(ctx: click.Context, app: App, offset: int) -> None:
    """Print the dead letter at OFFSET whole, as JSON."""
    for kept, state in _letters(app, {"offsets": (offset,)}):
        print_json(kept.as_json(with_value=True) | {"state": state})
        return
    ctx.fail(
        f"no dead letter at offset {offset} of {app.settings.topics.dead_letters}; see `scorestream dead-letters list`"
    )


@command.command()
@_choice
@_dry_run
@click.option("--execute", is_flag=True, hidden=True, help="No longer needed.")
@json_option
@pass_app
def redrive(app: App, /, dry_run: bool, execute: bool, as_json: bool, **choice: Any) -> None:
    """Reindex the scorecards of open letters, and settle these.

    The rows are written as Postgres has them now. No message is sent: compaction would take an old message for the
    newest of its key. A letter stays open when it names no row, or when Postgres still has a value that ClickHouse
    cannot hold.
    """
    from stream.kafka import settled_letters  # noqa: PLC0415
    from stream.reindex import redrive as reindexing  # noqa: PLC0415  imported when it runs

    if execute:
        click.echo("--execute is the default now; --dry-run only counts", err=True)
    broker = app.broker()
    chosen = (kept for kept, state in _letters(app, choice) if state == "open")
    if dry_run:
        done = reindexing.Redriven(matching=sum(1 for _ in chosen))
    else:
        with app.postgres() as postgres, app.reindexing(postgres) as reindex:
            done = reindexing.redrive(
                postgres, reindex, chosen, lambda letters: settled_letters.settle(broker, letters, "reindexed")
            )
    if as_json:
        print_json(
            {
                "matching": done.matching,
                "settled": done.settled,
                "unnamed": done.unnamed,
                "withheld": done.withheld,
                "scorecards": done.scorecards,
                "executed": not dry_run,
            }
        )
    elif dry_run:
        click.echo(f"{done.matching:,} open letters; dry run: nothing was reindexed")
    else:
        click.echo(f"reindexed {done.scorecards:,} scorecards; settled {done.settled:,} of {done.matching:,} letters")
        if done.unnamed:
            click.echo(f"{done.unnamed:,} letters name no row: look at them, then `scorestream dead-letters ack`")
        if done.withheld:
            click.echo(f"{done.withheld:,} letters stay open: correct the value in Postgres, then redrive again")


@command.command()
@_choice
@_dry_run
@json_option
@pass_app
def ack(app: App, /, dry_run: bool, as_json: bool, **choice: Any) -> None:
    """Settle open letters whose rows are right by now. Changes no row."""
    _settle(app, "acked", choice, dry_run=dry_run, as_json=as_json)


@command.command()
@_choice
@_dry_run
@json_option
@pass_app
def discard(app: App, /, dry_run: bool, as_json: bool, **choice: Any) -> None:
    """Settle open letters that will never be applied. Changes no row; the letters stay in the topic."""
    _settle(app, "discarded", choice, dry_run=dry_run, as_json=as_json)


def _settle(app: App, state: State, choice: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    from stream.kafka import settled_letters  # noqa: PLC0415

    if not any(choice.values()):
        raise UsageError("say which letters: --offset, --reason or --topic")
    chosen = [(kept.partition, kept.offset) for kept, held in _letters(app, choice) if held == "open"]
    if chosen and not dry_run:
        settled_letters.settle(app.broker(), chosen, state)
    if as_json:
        print_json({"matching": len(chosen), "settled": 0 if dry_run else len(chosen), "executed": not dry_run})
    elif dry_run:
        click.echo(f"{len(chosen):,} open letters; dry run: nothing was settled")
    else:
        click.echo(f"{state}: {len(chosen):,} letters")


def _letters(app: App, choice: dict[str, Sequence[Any]]) -> Iterator[tuple[Kept, str]]:
    """The chosen letters with their states, oldest first."""
    from stream.kafka import dead_letters, settled_letters  # noqa: PLC0415  imported when it runs

    broker = app.broker()
    known = settled_letters.settled(broker)
    offsets = set(choice.get("offsets", ()))
    for kept in dead_letters.read(broker, reasons=choice.get("reasons", ()), topics=choice.get("topics", ())):
        if not offsets or kept.offset in offsets:
            yield kept, known.state(kept)
