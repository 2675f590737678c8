"""What commands print: any value, on any terminal."""

from __future__ import annotations

import json

import pytest

from stream.commands.console import print_json


def test_half_of_a_surrogate_pair_is_printed_as_its_escape(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"comment": "lone \ud800 half, \xe9"})
    printed = capsys.readouterr().out
    assert "\xe9" in printed
    assert json.loads(printed) == {"comment": "lone \ud800 half, \xe9"}
