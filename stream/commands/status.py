"""scorestream status: what runs, and what to do next."""

from __future__ import annotations

import click

from stream.commands.console import EXIT_FAILED, EXIT_OK, App, json_option, pass_app, print_json, watch_option
from stream.commands.console import watch as watch_page
from stream.commands.options import Duration

_ANSWER_S = 8.0  # limit of each system


@click.command()
@watch_option
@click.option("--every", "every_s", type=Duration(), default="5s", show_default=True, help="Interval of --watch.")
@json_option
@pass_app
@click.pass_context
def command(ctx: click.Context, app: App, watch: bool, every_s: float, as_json: bool) -> None:
    """Show what runs, and what to do next: the most urgent first, each with the lines to paste.

    The command puts together what `lag`, `doctor`, replays, dead letters and `verify --watch` know. It only reads.

    \b
    now     changes are late, lost or wrong, or will be at the next restart
    soon    in working hours
    later   nothing is wrong; there is something to know, or to finish

    Exit codes: 0 nothing is to be done now; 1 something is; 2 usage or configuration.
    """
    from stream.commands.doctor_systems import Chain  # noqa: PLC0415  the libraries of all systems; --help needs none
    from stream.doctor.finding import SYSTEMS  # noqa: PLC0415
    from stream.monitor.wiring import open_looker  # noqa: PLC0415
    from stream.status.look import Situation, StatusLook  # noqa: PLC0415
    from stream.status.screen import page, screen  # noqa: PLC0415

    chain = Chain(app.settings, transaction_s=600, answer_s=0.8 * _ANSWER_S)
    with (
        open_looker(app.settings, ask_monitor=True, steady=watch) as looker,
        StatusLook(looker.look, lambda: chain.examine(SYSTEMS, deadline_s=_ANSWER_S)[0]) as look,
    ):
        if watch:
            found = watch_page(look.once, page, as_json=Situation.as_json if as_json else None, every_s=every_s)
        else:
            found = look.once()
            if as_json:
                print_json(found.as_json())
            else:
                screen(found)
    ctx.exit(EXIT_FAILED if found.verdict == "act now" else EXIT_OK)
