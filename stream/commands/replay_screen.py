"""What the commands of `scorestream replay` print: the state of one replay, or a table of all, and whose they are.

Enters: facts as `replay status --json` has them, each with its `installation`. Leaves: text on stdout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from stream.commands.console import App, print_json, print_table

if TYPE_CHECKING:
    from stream.commands.identity import Identity


def facts_of(app: App, name: str | None = None) -> list[dict[str, Any]]:
    """The facts of one replay, or of all, each with `installation`: whose they are."""
    from stream.replay import control  # noqa: PLC0415  Kafka's clients take a while to import

    with app.broker() as broker:
        found, own = control.facts(broker, name), app.identity(broker).as_json()
    return [each | {"installation": own} for each in found]


def show(facts: dict[str, Any], app: App, *, as_json: bool) -> None:
    """One replay."""
    if as_json:
        print_json(facts)
        return
    from stream.commands.identity import Identity  # noqa: PLC0415
    from stream.replay.status import line  # noqa: PLC0415

    click.echo(f"replay {facts['name']}: {facts['state']}; {line(facts)}")
    if facts["error"] and facts["state"] != "done":
        click.echo(f"  error: {facts['error']}")
    for each in facts["processes"]:
        lanes = ",".join(map(str, each["lanes"])) or "none"
        click.echo(
            f"  {each['host']} pid {each['pid']}: partitions {lanes}, {each['per_s']:,.0f}/s, {each['rss_mb']:.0f} MB"
        )
    if facts["state"] == "stopped":
        click.echo(f"  nobody works on it; go on with: {resume_command(app, facts['name'])}")
    click.echo("  " + Identity(**facts["installation"]).line)


def show_table(found: Sequence[dict[str, Any]]) -> None:
    """All replays."""
    columns = ["name", "state", "pass", "done", "total", "messages/s", "dead letters", "processes", "into", "created"]
    print_table(
        columns,
        [
            (
                each["name"],
                each["state"],
                each["pass"],
                each["done"],
                each["total"],
                round(each["per_s"]),
                each["dead_letters"],
                len(each["processes"]),
                each["into"] or "",
                each["created_at"],
            )
            for each in found
        ],
    )


def say(name: str, state: str, *, of: Identity, as_json: bool) -> None:
    """The state to which a command has brought a replay."""
    if as_json:
        print_json({"name": name, "state": state, "installation": of.as_json()})
    else:
        click.echo(f"replay {name}: {state}\n  {of.line}")


def resume_command(app: App, name: str) -> str:
    """The command by which an operator goes on with a replay."""
    return " ".join(["scorestream", "replay", "resume", *app.chooses, name])
