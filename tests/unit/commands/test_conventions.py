"""What all commands have in common: --json and --dry-run."""

from __future__ import annotations

import click

from stream import cli
from stream.commands import audit_trail

_SERVES = "serves until SIGTERM; its answers are at /api/state and /metrics"
_CONNECTOR = "its result is what `connectors status --json` tells"
WITHOUT_JSON = {
    "completion": "prints a script",
    "connectors apply": _CONNECTOR,
    "connectors delete": _CONNECTOR,
    "connectors pause": _CONNECTOR,
    "connectors restart": _CONNECTOR,
    "connectors resume": _CONNECTOR,
    "connectors stop": _CONNECTOR,
    "dead-letters show": "always prints JSON",
    "monitor": _SERVES,
    "replay member": "a process of `replay start`, which prints the result",
    "worker": _SERVES,
}
_ORDER = "an order to a running job, which the opposite order takes back"
WITHOUT_DRY_RUN = {
    "backfill pause": _ORDER,
    "backfill resume": _ORDER,
    "backfill stop": _ORDER,
    "replay join": _ORDER,
    "replay pause": _ORDER,
    "replay resume": _ORDER,
    "verify": "without --repair it only compares",
}


def leaves(command: click.Command, path: str) -> dict[str, click.Command]:
    if isinstance(command, click.Group):
        return {
            p: leaf for name, verb in command.commands.items() for p, leaf in leaves(verb, f"{path} {name}").items()
        }
    return {path: command}


def options(command: click.Command) -> set[str]:
    return {name for each in command.params if not getattr(each, "hidden", False) for name in each.opts}


root = click.Context(cli.cli)
COMMANDS = {p: leaf for name in cli.COMMANDS for p, leaf in leaves(cli.cli.get_command(root, name), name).items()}


def test_every_command_prints_json_on_demand_or_says_why_not() -> None:
    assert {path for path, leaf in COMMANDS.items() if "--json" not in options(leaf)} == {*WITHOUT_JSON}


def test_every_command_that_changes_something_has_a_dry_run_or_says_why_not() -> None:
    changes = {path: COMMANDS[path] for path in audit_trail.CHANGES}
    assert {path for path, leaf in changes.items() if "--dry-run" not in options(leaf)} == {*WITHOUT_DRY_RUN}


def test_no_command_needs_another_word_to_act() -> None:
    assert not [path for path, leaf in COMMANDS.items() if "--execute" in options(leaf)]
