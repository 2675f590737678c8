"""The reference lists every check once, each with what it looks for and what happens if it stays."""

from __future__ import annotations

import re

import pytest

from stream.doctor.all_checks import ALL
from stream.doctor.finding import SYSTEMS, Check


def test_an_id_stands_for_one_check() -> None:
    assert len({each.id for each in ALL}) == len(ALL) > 60


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.id)
def test_a_check_says_all_that_an_operator_needs(check: Check) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", check.id)
    assert check.system in SYSTEMS
    assert check.severity in ("error", "warning", "hint")
    for text in (check.looks, check.then):
        assert text
        assert not text.endswith(".")
