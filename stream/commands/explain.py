"""scorestream explain: why a scorecard is in ClickHouse, or is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from stream.commands.console import EXIT_DIFFERENCES, App, json_option, pass_app, print_json, print_table
from stream.commands.options import database_option, installation_option, timeout_option

if TYPE_CHECKING:
    from stream.verify.explain import Explanation


@click.command()
@click.argument("scorecard_id")
@click.option("--log", "with_log", is_flag=True, help="Also show its last messages in Kafka.")
@click.option(
    "--log-messages",
    type=click.IntRange(1),
    default=200_000,
    show_default=True,
    help="Number of the newest messages that --log searches.",
)
@click.option("--kafka/--no-kafka", default=True, show_default=True, help="Ask Kafka for lag and dead letters.")
@timeout_option(12, "Longest wait for the pipeline before a difference counts as wrong.")
@database_option
@installation_option
@json_option
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    scorecard_id: str,
    with_log: bool,
    log_messages: int,
    kafka: bool,
    timeout_s: float,
    database: str | None,
    as_json: bool,
) -> None:
    """Show where SCORECARD_ID stands in both stores, and why. The last line is the answer.

    Exit code 3 when ClickHouse is not as it should be.
    """
    from stream.commands.identity import identity_of  # noqa: PLC0415
    from stream.reindex.job import canonical  # noqa: PLC0415
    from stream.verify.explain import explain  # noqa: PLC0415  imported when it runs

    with app.stores(database, kafka=kafka) as stores:
        found = explain(
            stores,
            canonical(scorecard_id),
            kafka=kafka,
            timeout_s=timeout_s,
            log_messages=log_messages if with_log else 0,
        )
        cluster = stores.broker.cluster_id() if kafka else None
    own = identity_of(app.settings, cluster, database=database)
    if as_json:
        print_json(found.as_json() | {"installation": own.as_json()})
    else:
        click.echo(own.line)
        _show(found)
    if found.verdict in {"wrong", "dead letter"}:
        ctx.exit(EXIT_DIFFERENCES)


def _show(found: Explanation) -> None:
    document = found.as_json()
    for title in ("postgres", "place"):
        click.echo(f"{title}: " + _pairs(document[title]))
    if found.stored:
        click.echo("clickhouse, all that is stored, newest first:")
        print_table(
            [
                "shard",
                "table",
                "customer",
                "partition",
                "event time",
                "rows",
                "marker",
                "commit LSN",
                "LSN",
                "stored at",
            ],
            [
                (
                    str(each["shard"]),
                    each["table"],
                    each["customer_id"],
                    str(each["partition"]),
                    each["event_time"],
                    each["rows"],
                    "deleted" if each["delete_marker"] else "",
                    each["commit_lsn"],
                    each["lsn"],
                    each["indexed_at"],
                )
                for each in document["clickhouse"]
            ],
        )
    else:
        click.echo("clickhouse: nothing stored")
    click.echo("shown: " + _pairs(found.shown))
    for letter in found.dead_letters:
        click.echo(letter)
    if found.log is not None:
        click.echo(f"log: {len(found.log)} messages")
        print_table(
            ["topic", "partition", "offset", "time", "op", "row"],
            [
                (e["topic"], str(e["partition"]), str(e["offset"]), e["time"], e["op"], e["row_id"])
                for e in document["log"]
            ],
        )
    click.echo(found.sentence)


def _pairs(values: Mapping[str, object] | None) -> str:
    return (
        "nothing" if not values else ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in values.items() if v is not None)
    )
