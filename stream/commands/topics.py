"""scorestream topics: the Kafka topics of this configuration."""

from __future__ import annotations

import click

from stream.commands.console import EXIT_DIFFERENCES, EXIT_OK, App, json_option, pass_app, print_json, print_table
from stream.kafka import topics as kafka_admin
from stream.kafka.topics import Found


@click.group()
def command() -> None:
    """Kafka topics: create missing ones, list them."""


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
