"""scorestream doctor: is every part of the chain as it must be?"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stream.commands.console import EXIT_FAILED, EXIT_OK, App, pass_app, print_json
from stream.commands.options import Duration, timeout_option
from stream.doctor.finding import ERROR, PURPOSES, SYSTEMS, WARNING
from stream.errors import UsageError

if TYPE_CHECKING:
    from stream.doctor.finding import DoctorFinding, Purpose, System

_SHOWN = {"error": "ERROR", "warning": "warning", "hint": "hint"}


@click.command()
@click.option(
    "--only", type=click.Choice(SYSTEMS), multiple=True, help="Ask only this system (repeatable).  [default: all]"
)
@click.option("--for", "purpose", type=click.Choice(PURPOSES), help="Also look at what this command needs.")
@click.option(
    "--max-transaction",
    "transaction_s",
    type=Duration(),
    default="10m",
    show_default=True,
    help="Age of a Postgres transaction from which on it is named.",
)
@timeout_option(10, "Limit of each system.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    only: tuple[System, ...],
    purpose: Purpose | None,
    transaction_s: float,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Look at the whole chain, and say what is wrong: Postgres, Kafka, Connect, ClickHouse, settings, processes.

    The command only reads. It asks all systems at the same time, and a system that does not answer is a finding. Each
    finding says what is wrong, what happens if it stays, and the statement or command that corrects it.

    Exit codes: 0 nothing is wrong, or only warnings and hints are found; 1 errors are found; 2 usage, or the
    configuration cannot be read.
    """
    from stream.commands.doctor_systems import Chain  # noqa: PLC0415  the libraries of all systems; --help needs none

    if timeout_s <= 0:
        raise UsageError("--timeout must be above 0")
    systems = only or SYSTEMS
    began = time.monotonic()
    chain = Chain(app.settings, purpose=purpose, transaction_s=transaction_s, answer_s=0.8 * timeout_s)
    found, took = chain.examine(systems, deadline_s=timeout_s)
    if as_json:
        print_json(
            {
                "healthy": not any(each.severity == ERROR for each in found),
                "systems": list(systems),
                "for": purpose,
                "seconds": {part: round(seconds, 3) for part, seconds in took.items()},
                "findings": [asdict(each) for each in found],
            }
        )
    else:
        _show(systems, found, time.monotonic() - began)
    ctx.exit(EXIT_FAILED if any(each.severity == ERROR for each in found) else EXIT_OK)


def _show(systems: Iterable[System], found: list[DoctorFinding], seconds: float) -> None:
    """Grouped by system; the way out stands on a line of its own, so that it can be pasted."""
    for system in systems:
        own = [each for each in found if each.system == system]
        click.echo(f"{system:<11} {'ok' if not own else _count(own)}")
        for each in own:
            click.echo(f"  {_SHOWN[each.severity]:<8} {each.id}: {each.what}")
            click.echo(f"  {'':<8} if it stays: {each.then}")
            click.echo(f"  {'':<8} to correct it:")
            click.echo(f"      {each.way_out}")
    errors = sum(each.severity == ERROR for each in found)
    if not found:
        click.echo(f"healthy: nothing is wrong ({seconds:.1f} s)")
    elif not errors:
        click.echo(f"healthy, with {_count(found)} ({seconds:.1f} s)")
    else:
        click.echo(f"not healthy: {_count(found)} ({seconds:.1f} s)")


def _count(found: list[DoctorFinding]) -> str:
    counts = [
        (sum(each.severity == severity for each in found), name)
        for severity, name in ((ERROR, "error"), (WARNING, "warning"), ("hint", "hint"))
    ]
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)
