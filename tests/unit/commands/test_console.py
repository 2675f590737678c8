"""What commands print: any value, on any terminal."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rich.text import Text

from stream.commands.console import print_json, watch


def test_half_of_a_surrogate_pair_is_printed_as_its_escape(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"comment": "lone \ud800 half, \xe9"})
    printed = capsys.readouterr().out
    assert "\xe9" in printed
    assert json.loads(printed) == {"comment": "lone \ud800 half, \xe9"}


def _looks(*found: int) -> Callable[[], int]:
    left = list(found)

    def look() -> int:
        if not left:
            raise KeyboardInterrupt
        return left.pop(0)

    return look


def test_watching_ends_with_the_last_look_at_ctrl_c() -> None:
    assert watch(_looks(1, 2), lambda found: Text(str(found)), as_json=None, every_s=0.001) == 2


def test_watching_as_json_prints_a_document_for_each_look(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        watch(_looks(1, 2), lambda _: Text(""), as_json=lambda found: {"seen": found}, every_s=0.001)
    assert capsys.readouterr().out == '{\n  "seen": 1\n}\n{\n  "seen": 2\n}\n'
