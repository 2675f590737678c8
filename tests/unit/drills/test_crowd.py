"""What many readers of spans of time count as wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drills.crowd import Crowd
from drills.windows import FIRST

STEADY, MOVES, APPEAL = "steady", "moves", "appeal"
AT = FIRST + timedelta(hours=1)


def _crowd() -> Crowd:
    nothing: Any = None
    crowd = Crowd(nothing, 1, {APPEAL})
    crowd._steady[STEADY] = AT
    return crowd


def _judge(crowd: Crowd, *found: tuple[str, Any], asked_at: float = 0.0) -> None:
    crowd.judge(list(found), left={APPEAL}, low=FIRST, high=FIRST + timedelta(days=1), asked_at=asked_at)


@pytest.mark.parametrize(
    ("found", "clean"),
    [
        ([(STEADY, AT), (MOVES, AT)], True),
        ([(MOVES, AT), (MOVES, AT + timedelta(hours=1))], True),
        ([(APPEAL, AT)], False),
        ([(STEADY, AT), (STEADY, AT + timedelta(hours=1))], False),
        ([(MOVES, AT), (MOVES, AT)], False),
    ],
    ids=["as it is", "moved between two shards", "an appeal", "twice", "the same row twice"],
)
def test_an_appeal_or_a_row_twice_is_wrong(found: list[tuple[str, Any]], clean: bool) -> None:
    crowd = _crowd()
    _judge(crowd, *found)
    assert crowd.clean is clean


def test_the_longest_absence_of_a_row_is_measured_once_it_was_there() -> None:
    crowd = _crowd()
    for asked_at, found in ((0.0, []), (1.0, [(STEADY, AT)]), (1.5, []), (2.5, []), (3.0, [(STEADY, AT)]), (3.2, [])):
        _judge(crowd, *found, asked_at=asked_at)
    assert crowd.missing_s == 1.5


def test_readers_that_asked_nothing_are_not_clean() -> None:
    assert not _crowd().clean
