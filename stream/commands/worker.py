"""scorestream worker: the live indexer."""

from __future__ import annotations

import threading

import click

from stream.commands.console import App, pass_app


@click.command()
@click.option("--restart", is_flag=True, help="Supervise the worker: start it again when it fails or is killed.")
@pass_app
@click.pass_context
def command(ctx: click.Context, app: App, restart: bool) -> None:
    """Index changes as they come, until SIGTERM. Several workers share the partitions.

    SIGTERM finishes the batch, commits the offsets and leaves the group. Exit code 1: the worker cannot go on. With
    --restart a supervisor then starts it again, also after a kill. After a wrong configuration (exit code 2) it does
    not.
    """
    settings = app.settings  # read first, because this reports every fault of the configuration at once
    if restart:
        from stream.supervise import Supervisor, own_command  # noqa: PLC0415  the supervisor needs none of the rest

        assert ctx.parent is not None
        ctx.exit(Supervisor(own_command("worker", log_level=ctx.parent.params.get("log_level"))).run())
    from stream.commands.doctor_systems import look_at_start  # noqa: PLC0415  the supervisor needs none of the rest
    from stream.live import worker  # noqa: PLC0415  Faust takes a second to import
    from stream.supervise import stop_signals  # noqa: PLC0415

    stopped = threading.Event()

    def stop(_: int) -> None:
        stopped.set()
        ctx.exit(0)

    with stop_signals(stop):  # until Faust's loop takes the signals over
        look_at_start(settings)
        try:
            code = worker.run(settings)
        except Exception:
            if not stopped.is_set():
                raise
            code = 0  # the signal came amid a call that no exception may leave, such as the start of a thread
    ctx.exit(code)
