"""scorestream fleet: many installations in one view."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import EXIT_FAILED, EXIT_OK, App, json_option, pass_app, print_json, watch_option
from stream.commands.console import watch as watch_page
from stream.commands.options import Duration, timeout_option

if TYPE_CHECKING:
    from stream.fleet.look import Ask
    from stream.fleet.rows import Row
    from stream.installations import Installation


@click.command()
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of the installations.  [default: SCORESTREAM_INSTALLATIONS]",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only this installation (repeatable).  [default: all]")
@watch_option
@click.option("--every", "every_s", type=Duration(), default="5s", show_default=True, help="Interval of --watch.")
@timeout_option(10, "Limit of an answer.")
@json_option
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    path: Path | None,
    only: tuple[str, ...],
    watch: bool,
    every_s: float,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Show many installations, one line each, the worst first: verdict, age, lag, workers, slot, letters, replays.

    The file has one table for each installation, with the settings that differ, and the URL of its monitor. An answer
    counts only when cluster and databases are those of the file. An installation that does not answer is a line, too,
    and delays no other. Exit codes: 0 none needs an operator; 1 one does, or does not answer; 2 usage or configuration.
    """
    from stream.fleet.look import FleetLook  # noqa: PLC0415  clients take a second to import
    from stream.fleet.rows import NEEDS_AN_OPERATOR  # noqa: PLC0415
    from stream.fleet.screen import page, screen  # noqa: PLC0415

    look = FleetLook({each.name: asks(each) for each in _chosen(app, path, only)}, every_s=every_s)
    with _quiet():
        rows = look.once(timeout_s=timeout_s)
        if watch:
            look.start()
            pause_s = every_s if as_json else min(every_s, 2.0)
            rows = watch_page(look.rows, page, as_json=_document if as_json else None, every_s=pause_s)
        elif as_json:
            print_json(_document(rows))
        else:
            screen(rows)
    ctx.exit(EXIT_FAILED if any(each.level in NEEDS_AN_OPERATOR for each in rows) else EXIT_OK)


def _document(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [each.as_json() for each in rows]


@contextmanager
def _quiet() -> Iterator[None]:
    """No log lines between the rows: these say what does not answer."""
    ours = logging.getLogger("stream")
    before = ours.level
    ours.setLevel(logging.ERROR)
    try:
        yield
    finally:
        ours.setLevel(before)


def _chosen(app: App, path: Path | None, only: tuple[str, ...]) -> list[Installation]:
    from stream.installations import chosen  # noqa: PLC0415  pydantic takes longer to import than all of the help

    return chosen(path or app.settings.installations, only)


def asks(installation: Installation) -> Ask:
    """Asks the installation's monitor, or else its parts. For one thread at a time; opened at the first question."""
    from stream.monitor.wiring import looker_of  # noqa: PLC0415

    looker = looker_of(installation.settings, monitor=installation.monitor, cluster=installation.cluster)
    return looker.look
