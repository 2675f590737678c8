"""scorestream config: the effective settings, and where each came from."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import click

from stream.commands.console import App, json_option, pass_app, print_json, print_table


@click.command()
@click.option("--changed", is_flag=True, help="Only settings that are not left at their default.")
@json_option
@pass_app
def command(app: App, changed: bool, as_json: bool) -> None:
    """Show every setting as the commands use it, and where it came from: environment, file or default.

    Secrets are shown as `hidden`. A variable SCORESTREAM_* that names no setting is a fault, with the nearest name.
    Exit code 2 when the configuration is wrong; the text lists every fault.
    """
    from stream.settings_origins import DEFAULT, effective  # noqa: PLC0415  pydantic takes longer to import than all of the help

    found = [each for each in effective(app.settings, os.environ) if not changed or each.origin != DEFAULT]
    if as_json:
        print_json([asdict(each) for each in found])
        return
    print_table(["setting", "value", "from"], [(each.variable, _text(each.value), each.origin) for each in found])


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ",".join(value) if isinstance(value, list) else str(value)
