"""scorestream verify: Postgres against ClickHouse."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import (
    EXIT_DIFFERENCES,
    EXIT_FAILED,
    EXIT_OK,
    App,
    json_option,
    pass_app,
    print_json,
    print_table,
)
from stream.commands.options import (
    Duration,
    database_option,
    installation_option,
    scope_of,
    scope_options,
    timeout_option,
)

if TYPE_CHECKING:
    from stream.kafka.announcement import Announcement
    from stream.kafka.broker import Broker
    from stream.scope import Scope
    from stream.stores import Stores
    from stream.verify.repair import VerifyOutcome
    from stream.verify.verified import Verified


@click.command()
@scope_options
@click.option(
    "--table", type=click.Choice(["all", "scorecard", "score"]), default="all", show_default=True, help="Which table."
)
@database_option
@click.option("--report", is_flag=True, help="Also counts by day (gaps marked) and by template.")
@click.option("--repair", is_flag=True, help="Reindex what differs, and compare again.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the pipeline (needs Kafka).")
@timeout_option(60, "Longest wait for the pipeline.")
@click.option("--limit", type=click.IntRange(1), default=1_000, show_default=True, help="Number of rows to list.")
@click.option(
    "--watch",
    "every_s",
    type=Duration(),
    metavar="SPAN",
    help="Repeat at this interval until SIGTERM, as 10m; /metrics on the web port.",
)
@installation_option
@json_option
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    customers: tuple[str, ...],
    start: str | None,
    end: str | None,
    kind: str,
    table: str,
    database: str | None,
    report: bool,
    repair: bool,
    wait: bool,
    timeout_s: float,
    limit: int,
    every_s: float | None,
    as_json: bool,
) -> None:
    """Compare Postgres with ClickHouse, every row and every column, and name the reason of each difference.

    Each store computes counts and checksums for every customer, day and kind. Only those that differ are opened. Exit
    code 3 when something differs. Exit code 1 when nothing can be said yet: the pipeline is behind, or rows change all
    the time.
    """
    from stream.commands.identity import identity_of  # noqa: PLC0415
    from stream.supervise import stop_signals  # noqa: PLC0415
    from stream.verify.repair import Options, verify  # noqa: PLC0415  imported when it runs
    from stream.verify.watch import watch  # noqa: PLC0415  imported when it runs

    scope = scope_of(customers, start, end, kind=kind, table=table)
    options = Options(scope, wait=wait, timeout_s=timeout_s, limit=limit)

    @contextmanager
    def compared(*, show: bool) -> Iterator[tuple[VerifyOutcome, Stores]]:
        with ExitStack() as opened:
            stores = opened.enter_context(app.stores(database, kafka=wait))
            reindex = opened.enter_context(app.reindexing(stores.postgres, database)) if repair else None
            yield verify(stores, options, reindex=reindex, show=show), stores

    def compare() -> VerifyOutcome:
        with compared(show=False) as (outcome, _):
            return outcome

    if every_s is not None:
        stopping = threading.Event()

        def stop(*_: object) -> None:
            stopping.set()
            raise KeyboardInterrupt

        tell = _tell_json if as_json else _tell_line
        with stop_signals(stop):
            name, web = app.settings.name, app.settings.web
            with app.broker() as broker:
                announce = partial(_announcement, broker)
                watch(
                    web,
                    compare,
                    installation=name,
                    announce=announce,
                    every_s=every_s,
                    stopping=stopping,
                    on_outcome=tell,
                )
        return
    with compared(show=True) as (outcome, stores):
        tables = _report(stores, scope, outcome) if report else {}
    own = identity_of(app.settings, None, database=database)
    if as_json:
        print_json(outcome.as_json() | tables | {"installation": own.as_json()})
    else:
        if app.chosen is not None:
            click.echo(own.line)
        _show(outcome, repair=repair)
        for title, rows in tables.items():
            _show_report(title, rows)
        click.echo(_line(outcome))
    ctx.exit(_code(outcome))


def _announcement(broker: Broker, url: str) -> Announcement:
    from stream.kafka.announcement import Announcement  # noqa: PLC0415

    return Announcement(broker, url=url, role="verify")


def _tell_line(outcome: VerifyOutcome) -> None:
    click.echo(_line(outcome))


def _tell_json(outcome: VerifyOutcome) -> None:
    """Print one line of JSON for each comparison."""
    click.echo(json.dumps(outcome.as_json(), ensure_ascii=False))


def _code(outcome: VerifyOutcome) -> int:
    last = outcome.verified
    if last.wrong or last.not_opened or outcome.visible_appeals:
        return EXIT_DIFFERENCES
    return EXIT_FAILED if last.lagging or last.not_comparable else EXIT_OK


def _show(outcome: VerifyOutcome, *, repair: bool) -> None:
    if repair and outcome.repaired:
        click.echo(f"repaired {outcome.repaired:,} scorecards:")
        _show_findings(outcome.first)
        click.echo("after the repair:")
    _show_findings(outcome.verified)
    if outcome.appeals:
        click.echo("appeals in Postgres, and what ClickHouse shows of them:")
        print_table(
            ["customer", "replica", "request", "resolve", "scorecards shown", "scores shown"],
            [tuple(each.as_json().values()) for each in outcome.appeals],
        )


def _show_findings(last: Verified) -> None:
    if last.letters_unread:
        click.echo(f"the dead letters could not be read, so reasons may be missing: {last.letters_unread}", err=True)
    if last.lagging:
        click.echo(f"not comparable yet: {len(last.different):,} cells differ, and {last.lagging}")
    if last.findings:
        print_table(
            ["what", "table", "customer", "day", "kind", "shard", "scorecard", "row", "reason"],
            [
                (
                    f.what,
                    f.table,
                    f.customer_id,
                    f.day,
                    "process" if f.is_process else "conversation",
                    str(f.shard),
                    f.scorecard_id,
                    "" if f.row_id == f.scorecard_id else f.row_id,
                    f.reason,
                )
                for f in last.findings
            ],
        )
    if last.wrong > len(last.findings):
        click.echo(f"... and {last.wrong - len(last.findings):,} more rows (--limit)")
    if last.not_opened:
        click.echo(f"{last.not_opened:,} cells differ in all, and not all of them were gone through (--limit)")
    if last.not_comparable:
        click.echo(f"not comparable yet: {last.not_comparable:,} scorecards changed at every look; run verify again")


def _line(outcome: VerifyOutcome) -> str:
    from stream.pipeline.ordering import lsn_text  # noqa: PLC0415

    last = outcome.verified
    rows = ", ".join(f"{count:,} {table}" for table, count in last.rows.items())
    counts = {
        what: sum(n for (_, kind), n in last.counts.items() if kind == what) for what in ("missing", "extra", "stale")
    }
    verdict = "clean" if outcome.clean else "not comparable yet" if _code(outcome) == EXIT_FAILED else "differs"
    return (
        f"verify: {verdict}: {rows or 'no'} rows in {last.cells:,} cells as of LSN {lsn_text(last.lsn)}, "
        + ", ".join(f"{count:,} {what}" for what, count in counts.items())
        + f", {outcome.visible_appeals:,} rows of appeals visible"
        + (f", {outcome.repaired:,} scorecards repaired" if outcome.repaired else "")
        + f", {last.seconds:.1f} s"
    )


def _report(stores: Stores, scope: Scope, outcome: VerifyOutcome) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    from stream.postgres.defining_query import source_of  # noqa: PLC0415
    from stream.verify import report as verify_report  # noqa: PLC0415

    last = outcome.verified
    with stores.postgres.asking() as connection:
        source = source_of(connection, stores.postgres.schema)
        templates = verify_report.templates(connection, source, stores.shards, scope)
    return {
        "days": [asdict(day) for day in verify_report.days(last.postgres, last.shards)],
        "gaps": [
            {"customer_id": customer, "days_without_scorecards": len(days), "days": " ".join(days)}
            for customer, days in verify_report.gaps(last.postgres).items()
        ],
        "templates": [asdict(template) for template in templates],
    }


def _show_report(title: str, rows: list[dict[str, Any]]) -> None:
    click.echo(f"{title}:")
    if rows:
        print_table(
            [name.replace("_", " ") for name in rows[0]],
            [tuple("gap" if v is True else "" if v is False else v for v in row.values()) for row in rows],
        )
