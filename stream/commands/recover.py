"""scorestream recover: from a lost slot, lost offsets or a failed connector back to health."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import (
    EXIT_DIFFERENCES,
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    App,
    confirm,
    json_option,
    pass_app,
    print_json,
    print_table,
)
from stream.commands.options import timeout_option

if TYPE_CHECKING:
    from stream.recover.plan import RecoveryPlan, RecoveryStep
    from stream.recover.run import StepTaken
    from stream.recover.systems import OpenSystems, Wanted
    from stream.stores import Stores
    from stream.verify.repair import VerifyOutcome


PATIENCE_S = 300.0


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what is wrong, what to do, and how long it takes; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before the connector is stopped or the slot is dropped.")
@click.option(
    "--dsn",
    metavar="URL",
    help="Postgres role with REPLICATION; to create the publication, the tables' owner.  "
    "[default: SCORESTREAM_BACKFILL_DSN]",
)
@timeout_option(PATIENCE_S, "Longest wait without progress.")
@json_option
@pass_app
@click.pass_context
def command(
    ctx: click.Context, app: App, dry_run: bool, yes: bool, dsn: str | None, timeout_s: float, as_json: bool
) -> None:
    """Bring slot, publication, offsets, topics and connector back to health, then compare and repair every row.

    It helps after a fail over or a restored database, and with a lost slot, lost offsets or a deleted topic. It
    also helps when the connector failed or is gone. It empties nothing and takes no snapshot. The connector streams
    at once from the slot, and the comparison finds the changes that it missed meanwhile, deletes and appeals as
    well. After a kill the same command goes on. Exit code 0: all is right. Exit code 1: not yet. Exit code 2: an
    operator has to act first. Exit code 3: differences are left, or with --dry-run there is something to do.
    """
    ctx.exit(run(app, dry_run=dry_run, yes=yes, dsn=dsn, timeout_s=timeout_s, as_json=as_json))


def run(
    app: App,
    *,
    dry_run: bool,
    yes: bool,
    timeout_s: float = PATIENCE_S,
    dsn: str | None = None,
    as_json: bool = False,
) -> int:
    """Show the plan and carry it out, as the command's help says.

    Args:
        yes: an operator has agreed to what interrupts or removes something.

    Returns:
        The exit code.
    """
    from stream.recover.plan import plan  # noqa: PLC0415  imported when it runs
    from stream.recover.run import recover_and_compare  # noqa: PLC0415
    from stream.scope import Scope  # noqa: PLC0415
    from stream.verify.repair import Options, verify  # noqa: PLC0415

    with app.stores() as stores, _opened(app, stores, dsn=dsn, timeout_s=timeout_s) as parts:
        now = plan(parts.look())
        if not as_json or dry_run or now.blocked:
            _show(now, as_json=as_json)
        if now.blocked or dry_run:
            return EXIT_USAGE if now.blocked else EXIT_DIFFERENCES if now.findings else EXIT_OK
        if not yes and any(step.careful for step in now.steps):
            confirm("the connector would be stopped, and perhaps the slot dropped")
        outcomes: list[VerifyOutcome] = []

        def compare() -> None:
            with app.reindexing(stores.postgres) as reindex:
                outcomes.append(verify(stores, Options(Scope(), timeout_s=timeout_s), reindex=reindex))

        taken = recover_and_compare(parts, compare, on_step=_tell)
    outcome = outcomes[-1]
    code = _code(outcome)
    if as_json:
        print_json(_as_json(now) | {"taken": _taken(taken), "verify": outcome.as_json(), "right": code == EXIT_OK})
    else:
        _conclude(outcome, code, taken)
    return code


def wanted(app: App) -> Wanted:
    """The connector that the settings make, and its names in Postgres."""
    from stream.recover.systems import Wanted  # noqa: PLC0415  imported when it runs
    from stream.wiring import connector_config  # noqa: PLC0415

    settings = app.settings
    postgres = settings.postgres
    return Wanted(settings.connect.connector, connector_config(settings), postgres.slot, postgres.publication)


@contextmanager
def _opened(app: App, stores: Stores, *, dsn: str | None, timeout_s: float) -> Iterator[OpenSystems]:
    from stream.connect.rest import Connect  # noqa: PLC0415  imported when it runs
    from stream.postgres.connection import Postgres  # noqa: PLC0415
    from stream.recover.systems import OpenSystems  # noqa: PLC0415

    settings = app.settings
    own, postgres = settings.backfill, settings.postgres
    role: dict[str, Any] = {} if own.dsn is None else {"dsn": own.dsn, "password": own.password}
    if dsn is not None:
        role = {"dsn": dsn, "password": None}
    with (
        Postgres(postgres.model_copy(update=role), writes=True) as replicating,
        Connect(settings.connect) as connect,
    ):
        yield OpenSystems(wanted(app), stores=stores, replicating=replicating, connect=connect, timeout_s=timeout_s)


def _show(now: RecoveryPlan, *, as_json: bool) -> None:
    for text in now.blocked:
        click.echo(f"to do first: {text}", err=True)
    if as_json:
        print_json(_as_json(now))
        return
    for finding in now.findings:
        click.echo(f"{finding.id}: {finding.what}" + ("; changes may be in no message" if finding.gap else ""))
    if not now.findings:
        click.echo("slot, offsets, publication, topics and connector are well")
    if now.blocked:
        return
    print_table(["step", "what", "about s"], [(step.id, step.what, f"{step.seconds:.0f}") for step in now.steps])
    click.echo(f"about {now.seconds:,.0f} s in all; readers keep what is right meanwhile")
    for note in now.notes:
        click.echo(f"note: {note}")


def _tell(step: RecoveryStep, left: RecoveryPlan) -> None:
    seconds = step.seconds if step.id == "compare" else left.seconds
    click.echo(f"recover: {step.id}: {step.what} (about {seconds:,.0f} s left)", err=True)


def _code(outcome: VerifyOutcome) -> int:
    last = outcome.verified
    if last.wrong or last.not_opened or outcome.visible_appeals:
        return EXIT_DIFFERENCES
    return EXIT_FAILED if last.lagging or last.not_comparable else EXIT_OK


def _conclude(outcome: VerifyOutcome, code: int, taken: list[StepTaken]) -> None:
    last, rows = outcome.verified, sum(outcome.verified.rows.values())
    seconds = sum(each.seconds for each in taken)
    done = f"{outcome.repaired:,} scorecards repaired, {seconds:.0f} s"
    if code == EXIT_OK:
        click.echo(f"recover: all is right: {rows:,} rows equal in Postgres and ClickHouse, {done}")
    elif code == EXIT_DIFFERENCES:
        click.echo(f"recover: {last.wrong:,} rows still differ, {done}; run `scorestream verify --repair` again")
    else:
        why = last.lagging or f"{last.not_comparable:,} scorecards changed at every look"
        click.echo(f"recover: the connector streams, and nothing can be said yet: {why}; run this command again")


def _taken(taken: list[StepTaken]) -> list[dict[str, Any]]:
    return [{"id": each.step.id, "seconds": round(each.seconds, 2)} for each in taken]


def _as_json(now: RecoveryPlan) -> dict[str, Any]:
    return {
        "findings": [{"id": each.id, "what": each.what, "gap": each.gap} for each in now.findings],
        "blocked": list(now.blocked),
        "steps": [{"id": step.id, "what": step.what, "seconds": round(step.seconds, 1)} for step in now.steps],
        "notes": list(now.notes),
    }
