"""scorestream connectors: Debezium's connector on Kafka Connect."""

from __future__ import annotations

from typing import NoReturn

import click

from stream.commands.console import EXIT_FAILED, EXIT_USAGE, App, json_option, pass_app, print_json, print_table
from stream.commands.options import timeout_option
from stream.config import Settings
from stream.connect import connector
from stream.connect.rest import Connect, ConnectorStatus
from stream.doctor import connect as checks
from stream.doctor import kafka as kafka_checks
from stream.doctor.finding import ERROR, DoctorFinding
from stream.doctor.postgres import before_connector
from stream.errors import ConnectError, PostgresRefused, PostgresUnavailable, UsageError
from stream.kafka import topics as kafka_admin
from stream.kafka.broker import Broker
from stream.postgres.connection import Postgres
from stream.postgres.replication import has_streamed
from stream.recover.resume import cannot_go_on
from stream.supervise import stop_signals
from stream.wiring import connector_config

wait_option = timeout_option(60, "Longest wait.")
recover_option = click.option(
    "--recover/--no-recover",
    "recovers",
    default=True,
    show_default=True,
    help="Do what `scorestream recover` does, where the connector cannot go on from its slot and offset.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what the command would do, and do nothing.")


@click.group()
def command() -> None:
    """Debezium's connector: apply its config, show it, pause, resume, restart, delete.

    The config is the JSON of the package, or that of SCORESTREAM_CONNECT_CONFIG, with the values of the settings.
    Kafka Connect is at SCORESTREAM_CONNECT_URL.
    """


@command.command()
@click.option("--dry-run", is_flag=True, help="Validate, and print the config and what would change.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the connector runs.")
@wait_option
@recover_option
@pass_app
@click.pass_context
def apply(ctx: click.Context, app: App, dry_run: bool, wait: bool, timeout_s: float, recovers: bool) -> None:
    """Create the topics, then create or update the connector. An equal config is left alone.

    The command first looks at Postgres, as SCORESTREAM_POSTGRES_DSN reaches it, by the checks of `scorestream doctor`.
    It prints every fault with the SQL that corrects it (exit code 2). Then Kafka Connect validates the config, and its
    complaints are printed field by field (exit code 2). Where the slot of a connector is gone, lost or another
    server's, the command recovers as `connectors resume` does, also where the connector itself is gone. It does
    not start a connector that is STOPPED: it updates the config, names the way out and fails (exit code 1).
    """
    settings = app.settings
    name = settings.connect.connector
    config = connector_config(settings)
    if not _postgres_is_ready(settings):
        ctx.exit(EXIT_USAGE)
    with Connect(settings.connect) as connect:
        if faults := connect.validate(config, name=name):
            _tell([each for fault in faults for each in checks.refusal(fault)])
            ctx.exit(EXIT_USAGE)
        held = connect.config(name)
        changes = [*connector.differences(held or {}, config | {"name": name}).values()]
        if dry_run:
            for key, value in config.items():
                click.echo(f"{key}={connector.shown(key, value)}")
            click.echo(f"valid; {name} would be " + _verdict(held, changes), err=True)
            return
        if not _topics_are_right(app.broker()):
            ctx.exit(EXIT_USAGE)
        again = held is None and _has_streamed(app)
        if again:
            lost = _create_again(app, connect, config, timeout_s=timeout_s, recovers=recovers)
        else:
            lost = held is not None and _is_lost(app, connect)
        if lost:
            ctx.exit(_recover(app, dry_run=False) if recovers else EXIT_FAILED)
        if not again and (changes or held is None):
            connect.put(name, config)
        click.echo(f"connector {name}: " + _verdict(held, changes))
        if held is not None:
            for change in changes:
                click.echo(f"  {change}")
            _check_not_stopped(connect, name)
        if wait:
            _show(connect.wait(name, timeout_s=timeout_s, settle_s=1 if changes else 0))


def _create_again(app: App, connect: Connect, config: dict[str, str], *, timeout_s: float, recovers: bool) -> bool:
    """Create a connector that was there before, and start it where it can go on; True: it cannot, and is stopped.

    Connect tells the offset only of a connector that is there. A fault, Ctrl-C or SIGTERM before the start deletes it
    again: the next run would take it for one that an operator stopped. Its offset and its slot stay.
    """
    name = app.settings.connect.connector
    connect.create_stopped(name, config)
    try:
        with stop_signals(_interrupt):
            connect.wait(name, state="STOPPED", timeout_s=timeout_s)
            lost = _is_lost(app, connect)
            if not lost:
                connect.change(name, "resume")
    except BaseException:
        click.echo(f"connector {name}: it was not started, and is deleted again", err=True)
        connect.delete(name)
        raise
    if lost and not recovers:
        connect.delete(name)
    return lost


def _interrupt(_number: int) -> NoReturn:
    raise KeyboardInterrupt  # SIGTERM, too: Kubernetes evicts a pod with it


def _check_not_stopped(connect: Connect, name: str) -> None:
    """Raises ConnectError for a stopped connector: an operator stopped it, or a run that was killed had created it."""
    found = connect.status(name)
    if found is not None and found.state == "STOPPED":
        raise ConnectError(
            f"connector {name} is STOPPED, so nothing streams: `scorestream connectors resume` starts it. Where a "
            "recovery was interrupted, `scorestream recover` starts it and compares every row"
        )


def _postgres_is_ready(settings: Settings) -> bool:
    """Print the faults of Postgres; False when the connector cannot work with them."""
    try:
        with Postgres(settings.postgres).session() as connection:
            found = before_connector(connection, settings.postgres)
    except (PostgresUnavailable, PostgresRefused) as error:
        click.echo(f"warning: Postgres was not looked at: {str(error).splitlines()[0]}", err=True)
        return True
    _tell(found)
    return not any(each.severity == ERROR for each in found)


def _topics_are_right(broker: Broker) -> bool:
    """Create the topics that are missing, print what differs; False when a topic has a wrong number of partitions."""
    topics = kafka_admin.ensure_topics(broker)
    for each in topics:
        if each.state == "created":
            click.echo(f"topic {each.topic.name}: created with {each.partitions} partitions")
    found = list(kafka_checks.topics(topics, broker.topics, broker.settings.bootstrap_servers))
    _tell(found)
    return all(each.id != kafka_checks.PARTITIONS.id for each in found)


def _tell(found: list[DoctorFinding]) -> None:
    for each in found:
        click.echo(f"{each.severity}: {each}", err=True)


@command.command()
@json_option
@pass_app
@click.pass_context
def status(ctx: click.Context, app: App, as_json: bool) -> None:
    """Show the connector and its tasks. Exit code 1 unless all of them run."""
    name = app.settings.connect.connector
    with Connect(app.settings.connect) as connect:
        found = connect.status(name)
    if as_json:
        print_json({"connector": name, "exists": found is not None} | (_as_json(found) if found else {}))
    elif found is None:
        click.echo(connector.absent(name))
    else:
        _show(found)
    if found is None or not found.running:
        ctx.exit(EXIT_FAILED)


@command.command()
@dry_run_option
@click.option(
    "--reset-offsets", is_flag=True, help="Also delete its offsets: a new connector then starts with a snapshot."
)
@wait_option
@pass_app
def delete(app: App, dry_run: bool, reset_offsets: bool, timeout_s: float) -> None:
    """Delete the connector. Topics stay, and so does the replication slot: it keeps WAL until it is dropped."""
    settings = app.settings
    name = settings.connect.connector
    with Connect(settings.connect) as connect:
        if connect.status(name) is None and connect.config(name) is None:
            click.echo(f"connector {name}: not there")
            return
        if dry_run:
            click.echo(f"connector {name} would be deleted" + (", with its offsets" if reset_offsets else ""))
            return
        if reset_offsets:
            connect.change(name, "stop")
            connect.wait(name, state="STOPPED", timeout_s=timeout_s)
            connect.reset_offsets(name)
        connect.delete(name)
    click.echo(f"connector {name}: deleted" + (", with its offsets" if reset_offsets else ""))
    click.echo(f"its slot stays; to drop it: SELECT pg_drop_replication_slot('{settings.postgres.slot}');")


@command.command()
@dry_run_option
@wait_option
@pass_app
def pause(app: App, dry_run: bool, timeout_s: float) -> None:
    """Pause reading; the tasks keep their position. Postgres keeps the WAL meanwhile."""
    _change(app, "pause", "PAUSED", dry_run=dry_run, timeout_s=timeout_s)


@command.command()
@dry_run_option
@wait_option
@recover_option
@pass_app
@click.pass_context
def resume(ctx: click.Context, app: App, dry_run: bool, timeout_s: float, recovers: bool) -> None:
    """Go on after a pause or a stop.

    Where the slot is gone, lost or another server's, the connector would fail for good. Then the command prints the
    plan of `scorestream recover` and carries it out, with the same exit codes. With --no-recover it names the cause
    and changes nothing (exit code 1).
    """
    with Connect(app.settings.connect) as connect:
        _there(connect, app.settings.connect.connector)
        lost = _is_lost(app, connect)
    if lost:
        ctx.exit(_recover(app, dry_run=dry_run) if recovers else EXIT_FAILED)
    _change(app, "resume", "RUNNING", dry_run=dry_run, timeout_s=timeout_s)


def _has_streamed(app: App) -> bool:
    """Whether a connector has streamed from this database before; False when Postgres is silent."""
    settings = app.settings.postgres
    try:
        with Postgres(settings).session() as connection:
            return has_streamed(connection, settings.source_schema)
    except (PostgresUnavailable, PostgresRefused):
        return False  # the look before has told


def _is_lost(app: App, connect: Connect) -> bool:
    """Say why the connector cannot go on from its slot and offset; False when it can, or when Postgres is silent."""
    from stream.commands.recover import wanted  # noqa: PLC0415  imported when it runs

    try:
        with Postgres(app.settings.postgres) as postgres:
            found = cannot_go_on(postgres, connect, wanted(app))
    except (PostgresUnavailable, PostgresRefused) as error:
        click.echo(f"warning: the slot was not looked at: {str(error).splitlines()[0]}", err=True)
        return False
    for each in found:
        name = app.settings.connect.connector
        click.echo(f"connector {name} cannot go on: {each.id}: {each.what}; `scorestream recover` leads back", err=True)
    return bool(found)


def _recover(app: App, *, dry_run: bool) -> int:
    """As `scorestream recover --yes`; an exit code."""
    from stream.commands.recover import run  # noqa: PLC0415  imported when it runs

    return run(app, dry_run=dry_run, yes=True)


@command.command()
@dry_run_option
@wait_option
@pass_app
def stop(app: App, dry_run: bool, timeout_s: float) -> None:
    """Stop the tasks altogether; config and offsets stay. `resume` starts them again."""
    _change(app, "stop", "STOPPED", dry_run=dry_run, timeout_s=timeout_s)


@command.command()
@click.option("--all", "everything", is_flag=True, help="Restart running tasks, too, not only failed ones.")
@dry_run_option
@wait_option
@pass_app
def restart(app: App, everything: bool, dry_run: bool, timeout_s: float) -> None:
    """Restart failed tasks, and wait until all run."""
    name = app.settings.connect.connector
    with Connect(app.settings.connect) as connect:
        found = _there(connect, name)
        if not everything and not found.failures:
            click.echo(f"connector {name}: nothing failed")
            _show(found)
            return
        if dry_run:
            click.echo(
                f"connector {name} would be restarted" + ("" if everything else ": " + "; ".join(found.failures))
            )
            return
        connect.restart(name, only_failed=not everything)
        _show(connect.wait(name, timeout_s=timeout_s, settle_s=3))


def _change(app: App, verb: str, state: str, *, dry_run: bool, timeout_s: float) -> None:
    name = app.settings.connect.connector
    with Connect(app.settings.connect) as connect:
        _there(connect, name)
        if dry_run:
            click.echo(f"connector {name} would be {state}")
            return
        connect.change(name, verb)  # type: ignore[arg-type]
        _show(connect.wait(name, state=state, timeout_s=timeout_s))


def _there(connect: Connect, name: str) -> ConnectorStatus:
    found = connect.status(name)
    if found is None:
        raise UsageError(connector.absent(name))
    return found


def _verdict(held: dict[str, str] | None, changes: list[str]) -> str:
    if held is None:
        return "created"
    return f"updated, {len(changes)} keys" if changes else "left as it is: it has this config"


def _show(found: ConnectorStatus) -> None:
    click.echo(f"connector {found.name}: {found.state} on {found.worker}")
    if found.tasks:
        print_table(
            ["task", "state", "worker", "cause"],
            [(str(task.id), task.state, task.worker, task.cause) for task in found.tasks],
        )


def _as_json(found: ConnectorStatus) -> dict[str, object]:
    return {
        "state": found.state,
        "worker": found.worker,
        "running": found.running,
        "trace": found.trace,
        "tasks": [
            {"id": task.id, "state": task.state, "worker": task.worker, "cause": task.cause, "trace": task.trace}
            for task in found.tasks
        ],
    }
