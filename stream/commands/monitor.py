"""scorestream monitor: metrics, health and the dashboard of the whole path, without a worker."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from stream.commands.console import App, pass_app
from stream.commands.fleet import asks

if TYPE_CHECKING:
    from stream.fleet.look import FleetLook


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="SCORESTREAM_MONITOR_PORT",
    show_envvar=True,
    help="Port of the dashboard and /metrics, at SCORESTREAM_WEB_HOST; 0 = a free one.  [default: 6067]",
)
@click.option("--fleet", "alone", is_flag=True, help="Serve only the installations of SCORESTREAM_INSTALLATIONS.")
@pass_app
@click.pass_context
def command(ctx: click.Context, app: App, port: int | None, alone: bool) -> None:
    """Serve the lag dashboard at /, /metrics, /livez and /readyz, until SIGTERM.

    With SCORESTREAM_INSTALLATIONS the page /fleet shows all installations of that file, and leads to a page for each.
    The monitor only reads, and joins no consumer group.
    """
    from stream.monitor import wiring  # noqa: PLC0415  its clients take a second to import

    fleet = _look(app) if alone or app.settings.installations is not None else None
    with nullcontext() if fleet is None else fleet:
        ctx.exit(wiring.run(app.settings, port=port, fleet=fleet, alone=alone))


def _look(app: App) -> FleetLook:
    """Asks all installations of the file."""
    from stream.fleet.look import FleetLook  # noqa: PLC0415
    from stream.installations import chosen  # noqa: PLC0415

    return FleetLook({each.name: asks(each) for each in chosen(app.settings.installations)})
