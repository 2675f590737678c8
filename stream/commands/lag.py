"""scorestream lag: how late the live flow is, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import EXIT_DIFFERENCES, App, json_option, pass_app, print_json, watch_option
from stream.commands.console import watch as watch_page
from stream.commands.options import Duration, installation_option

if TYPE_CHECKING:
    from stream.monitor.looker import Looker


_MESSAGES = 50_000  # of one look at whose changes wait


@click.command()
@watch_option
@click.option("--every", "every_s", type=Duration(), default="2s", show_default=True, help="Interval of --watch.")
@click.option(
    "--max-lag",
    "max_lag_s",
    type=Duration(),
    help="Exit with 3 when a change waits longer, or when that is unknown: 30s, 5m.",
)
@click.option("--all", "everything", is_flag=True, help="Show partitions without lag, too.")
@click.option(
    "--monitor/--no-monitor",
    "ask_monitor",
    default=True,
    show_default=True,
    help="Ask a running monitor or worker first: verdicts need the past, which they know.",
)
@click.option("--customers", is_flag=True, help="Also whose changes wait, the longest wait first (needs Postgres).")
@click.option("--customer", "named", multiple=True, metavar="ID", help="How late this customer is (repeatable).")
@installation_option
@json_option
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    watch: bool,
    every_s: float,
    max_lag_s: float | None,
    everything: bool,
    ask_monitor: bool,
    customers: bool,
    named: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show lag in messages and seconds, a verdict for each partition, the connector, the slot, replays, dead letters.

    \b
    OK      nothing waits, or what waits is young, or it gets less
    WARN    late for a while, and not getting less
    STALL   messages wait, a worker holds the partition, nothing moves
    STOP    messages wait, and no worker holds the partition
    REWIND  the committed offset went back; what is processed again is no lag
    AHEAD   the committed offset lies behind the log's end: the topic was created again
    """
    from stream.monitor.screen import page, screen  # noqa: PLC0415

    with ExitStack() as opened:
        look = opened.enter_context(_looker(app, ask_monitor=ask_monitor, steady=watch)).look
        if customers or named:
            app.check(must_answer=False)  # messages and owners are read by this command, not by the monitor
            look = _with_customers(app, look, named, opened)
        found: dict[str, Any]
        if watch:
            document = dict if as_json else None
            found = watch_page(look, partial(page, everything=everything), as_json=document, every_s=every_s)
        elif as_json:
            print_json(found := look())
        else:
            screen(found := look(), everything=everything)
    seconds = found["freshness"]["seconds"]
    if max_lag_s is not None and (seconds is None or seconds > max_lag_s):
        ctx.exit(EXIT_DIFFERENCES)


def _with_customers(
    app: App, look: Callable[[], dict[str, Any]], named: Sequence[str], opened: ExitStack
) -> Callable[[], dict[str, Any]]:
    """A look whose document says whose changes wait, asked by this command: of the named customers, or of all."""
    from stream.monitor.customers import waits_of  # noqa: PLC0415
    from stream.monitor.wiring import open_customers  # noqa: PLC0415

    source = open_customers(app.settings, most=_MESSAGES)
    opened.callback(source.close)

    def looked() -> dict[str, Any]:
        document = look()
        found = source.read(waits_of(document))
        return document | {"customers": (found.of(named) if named else found).as_json(), "customers_asked": True}

    return looked


def _looker(app: App, *, ask_monitor: bool, steady: bool) -> Looker:
    """Of this host's monitor, or of the one that the file names for the installation that was chosen."""
    from stream.monitor.wiring import looker_of, open_looker  # noqa: PLC0415  clients take a second to import

    settings, chosen = app.settings, app.chosen
    if chosen is None:
        return open_looker(settings, ask_monitor=ask_monitor, steady=steady)
    monitor = chosen.monitor if ask_monitor else None
    return looker_of(settings, monitor=monitor, cluster=chosen.cluster, steady=steady)
