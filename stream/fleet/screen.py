"""The screen of `scorestream fleet`: rows -> a table. It asks no installation itself."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from stream.fleet.rows import NEEDS_AN_OPERATOR, SILENT, Row
from stream.times import duration

_COLUMNS = ("installation", "verdict", "age", "waiting", "workers", "slot", "letters", "replays", "verify", "cluster")
_NUMBERS = ("age", "waiting", "workers", "letters")
_COLOURS = {"fresh": "green", "busy": "yellow", "late": "yellow", "stuck": "red", "unknown": "magenta", SILENT: "red"}


def screen(rows: Sequence[Row]) -> None:
    """Print the table once."""
    Console(soft_wrap=True).print(page(rows))


def page(rows: Sequence[Row]) -> Group:
    """A line for each installation, and below it a sentence for each that is not fresh."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for each in rows:
        table.add_row(
            each.name,
            Text(each.level, style=_COLOURS.get(each.level, "")),
            "?" if each.freshness_s is None else duration(each.freshness_s),
            _number(each.messages),
            _number(each.workers),
            each.slot,
            _number(each.open_dead_letters),
            ", ".join(each.replays),
            each.verify,
            (each.identity[0] or "") if each.identity is not None else "",
        )
    said = [Text(f"{each.name}: {each.sentence}") for each in rows if each.level != "fresh"]
    said += [
        Text(
            f"{each.name}: its metrics have the label installation={each.told_as}: give its processes "
            f"SCORESTREAM_INSTALLATION_NAME={each.name}",
            style="yellow",
        )
        for each in rows
        if each.told_as
    ]
    bad = sum(each.level in NEEDS_AN_OPERATOR for each in rows)
    count = f"{len(rows)} installations, " + (f"{bad} need an operator" if bad else "none needs an operator")
    head = Text(count, style="bold red" if bad else "bold green")
    return Group(head, Text(""), table, Text(""), *said)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
