"""scorestream monitor: metrics, health and the dashboard of the whole path, without a worker."""

from __future__ import annotations

import click

from stream.commands.console import App, pass_app


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="SCORESTREAM_MONITOR_PORT",
    show_envvar=True,
    help="Port of the dashboard and /metrics, at SCORESTREAM_WEB_HOST; 0 = a free one.  [default: 6067]",
)
@pass_app
@click.pass_context
def command(ctx: click.Context, app: App, port: int | None) -> None:
    """Serve the lag dashboard at /, /metrics, /livez and /readyz, until SIGTERM.

    The monitor only reads, and joins no consumer group.
    """
    from stream.monitor import wiring  # noqa: PLC0415  its clients take a second to import

    ctx.exit(wiring.run(app.settings, port=port))
