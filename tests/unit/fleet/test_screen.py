"""The screen of `scorestream fleet`."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from stream.fleet.rows import Row, in_order, row, silent
from stream.fleet.screen import page
from tests.unit.fleet.test_rows import document

ROWS = in_order(
    [
        row("eu-1", document()),
        row("us-1", document("worker-absent", cluster="B")),
        silent("ap-1", "no answer: timed out"),
    ]
)


def shown(rows: list[Row]) -> list[str]:
    out = StringIO()
    Console(file=out, width=160, force_terminal=False, soft_wrap=True).print(page(rows))
    return out.getvalue().splitlines()


def test_each_installation_is_a_line_and_what_is_not_fresh_a_sentence() -> None:
    lines = shown(ROWS)
    assert lines[0] == "3 installations, 2 need an operator"
    assert [line.split()[:2] for line in lines[3:6]] == [["ap-1", "silent"], ["us-1", "stuck"], ["eu-1", "fresh"]]
    assert lines[7] == "ap-1: no answer: timed out"
    assert lines[8].startswith("us-1: No worker is in group")
    assert not [line for line in lines if line.startswith("eu-1:")]


def test_a_monitor_with_another_name_is_told_with_the_setting_that_corrects_it() -> None:
    named = row("eu-1", document(told_as="eu-1"))
    other = row("us-1", document(cluster="B", told_as="scorestream"))
    assert (named.told_as, other.told_as) == ("", "scorestream")
    lines = [line for line in shown([named, other]) if "INSTALLATION_NAME" in line]
    assert lines == [
        "us-1: its metrics have the label installation=scorestream: give its processes "
        "SCORESTREAM_INSTALLATION_NAME=us-1"
    ]


def test_all_is_well() -> None:
    assert shown([row("eu-1", document())])[0] == "1 installations, none needs an operator"
