"""The same comparison again and again: what ends the service, and what it outlives."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import ClickHouseRefused, ClickHouseUnavailable
from stream.settings_sections import WebSettings
from stream.verify.watch import watch

REFUSED = ClickHouseRefused("shard 0: Authentication failed")
OUTCOME: Any = SimpleNamespace(
    verified=SimpleNamespace(wrong_cells=[], cells=1, counts={}, not_comparable=0, seconds=0.1),
    visible_appeals=0,
    clean=True,
)


def compared(*answers: Any) -> int:
    """Watch until the answers are used up: how many comparisons came to their end."""
    left, stopping, ended = list(answers), threading.Event(), []

    def compare() -> Any:
        answer = left.pop(0)
        if not left:
            stopping.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch(
        WebSettings(port=0),
        compare,
        installation="eu-1",
        announce=nullcontext,
        every_s=0.0,
        stopping=stopping,
        on_outcome=ended.append,
    )
    return len(ended)


def test_a_store_that_is_away_fails_one_comparison() -> None:
    assert compared(ClickHouseUnavailable("away"), OUTCOME) == 1


def test_a_refusal_ends_the_service_at_its_start() -> None:
    with pytest.raises(ClickHouseRefused):
        compared(REFUSED, OUTCOME)


def test_a_refusal_of_what_was_taken_before_passes() -> None:
    assert compared(OUTCOME, REFUSED, OUTCOME) == 2
