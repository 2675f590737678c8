"""scorestream topics: the Kafka topics of this configuration."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import click

from stream.commands.console import EXIT_DIFFERENCES, EXIT_OK, App, json_option, pass_app, print_json, print_table
from stream.errors import UsageError
from stream.kafka import topics as kafka_admin
from stream.kafka.acls import ROLES, Acl, Role, grant, needed
from stream.kafka.topics import Found


@click.group()
def command() -> None:
    """Kafka topics: create missing ones, list them, show and grant the permissions that they need."""


@command.command()
@click.option("--dry-run", is_flag=True, help="Show what is missing, and create nothing.")
@json_option
@pass_app
@click.pass_context
def apply(ctx: click.Context, app: App, dry_run: bool, as_json: bool) -> None:
    """Create missing topics. Existing topics are never changed; exit code 3 when one differs."""
    found = kafka_admin.inspect(app.broker()) if dry_run else kafka_admin.ensure_topics(app.broker())
    ctx.exit(show(found, as_json=as_json))


@command.command(name="list")
@json_option
@pass_app
@click.pass_context
def list_(ctx: click.Context, app: App, as_json: bool) -> None:
    """Show the topics with their partitions. Exit code 3 when one is missing or differs."""
    found = kafka_admin.inspect(app.broker())
    code = show(found, as_json=as_json)
    ctx.exit(EXIT_DIFFERENCES if any(each.state == "missing" for each in found) else code)


def _permissions(function: Callable[..., None]) -> Callable[..., None]:
    """The options that say whose permissions are meant."""
    for option in (
        click.option(
            "--connect-group",
            metavar="GROUP",
            default="connect-cluster",
            show_default=True,
            help="group.id of Kafka Connect's workers.",
        ),
        click.option(
            "--user", metavar="NAME", help="Kafka user that gets them.  [default: SCORESTREAM_KAFKA_SASL_USERNAME]"
        ),
        click.option(
            "--for",
            "role",
            type=click.Choice([*ROLES]),
            default="operator",
            show_default=True,
            help="Whose permissions: those of the monitor and all that only reads; of the live workers; of every "
            "command; of Kafka Connect.",
        ),
    ):
        function = option(function)
    return function


def _needed(app: App, role: Role, user: str | None, connect_group: str) -> tuple[str, list[Acl]]:
    settings = app.settings
    user = user or settings.kafka.sasl_username
    if user is None:
        raise UsageError("whose permissions? Name the Kafka user with --user")
    connector = settings.connect.connector
    return user, needed(role, settings.kafka, settings.topics, connect_group=connect_group, connector=connector)


def _print_acls(user: str, acls: list[Acl]) -> None:
    print_json([{"user": user, **each._asdict()} for each in acls])


@command.command(name="acls")
@_permissions
@json_option
@pass_app
def acls_(app: App, role: Role, user: str | None, connect_group: str, as_json: bool) -> None:
    """Show the permissions that a Kafka user needs.

    They are printed as commands of Kafka's own tool, and are no more than the role needs.
    """
    user, found = _needed(app, role, user, connect_group)
    if as_json:
        _print_acls(user, found)
        return
    servers = app.settings.kafka.bootstrap_servers
    tool = f"kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties"
    for each in found:
        click.echo(shlex.join([*tool.split(), "--add", "--allow-principal", f"User:{user}", *each.arguments]))


@command.command(name="grant")
@_permissions
@click.option("--dry-run", is_flag=True, help="Show what would be granted, and grant nothing.")
@json_option
@pass_app
def grant_(app: App, role: Role, user: str | None, connect_group: str, dry_run: bool, as_json: bool) -> None:
    """Grant a Kafka user the permissions that `topics acls` shows.

    It needs a user who may alter the cluster. Permissions that are there stay.
    """
    user, found = _needed(app, role, user, connect_group)
    if not dry_run:
        grant(app.broker(), user, found)
    if as_json:
        _print_acls(user, found)
        return
    for each in found:
        click.echo(f"User:{user} {' '.join(each.arguments)}")
    click.echo("dry run: nothing was granted" if dry_run else f"granted to User:{user}")


def show(found: list[Found], *, as_json: bool = False) -> int:
    """Print topics; returns the exit code."""
    if as_json:
        print_json(
            [
                {
                    "topic": each.topic.name,
                    "state": each.state,
                    "partitions": each.partitions,
                    "differences": list(each.differences),
                    "warnings": list(each.warnings),
                }
                for each in found
            ]
        )
    else:
        print_table(
            ["topic", "partitions", "state", ""],
            [
                (each.topic.name, each.partitions, each.state, "; ".join((*each.differences, *each.warnings)))
                for each in found
            ],
        )
    return EXIT_DIFFERENCES if any(each.state == "differs" for each in found) else EXIT_OK
