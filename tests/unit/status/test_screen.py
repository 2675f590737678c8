"""The screen of `scorestream status`, from made-up situations."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from stream.doctor import postgres
from stream.status.look import Situation
from stream.status.screen import page
from tests.unit.monitor.situations import situations
from tests.unit.status.test_steps import document

HINT = postgres.FAILOVER.found("slot qa is not a failover slot", "psql ..")


def shown(standing: Situation) -> str:
    out = StringIO()
    Console(file=out, width=120, force_terminal=False, soft_wrap=True).print(page(standing))
    return out.getvalue()


@pytest.mark.parametrize("name", sorted(situations()))
def test_every_situation_can_be_shown_on_one_screen(name: str) -> None:
    text = shown(Situation(document(name), []))
    assert "what to do next" in text
    assert "answered by here" in text
    assert text.count("\n") <= 40


def test_all_is_well() -> None:
    text = shown(Situation(document(), [HINT]))
    assert text.startswith("WELL  Everything committed in Postgres is visible in ClickHouse.")
    assert "every committed change is visible" in text
    assert "  nothing\n" in text
    assert "1 hints: scorestream doctor" in text


def test_a_fault_stands_with_the_line_to_paste_on_a_line_of_its_own() -> None:
    text = shown(Situation(document("worker-absent"), []))
    assert text.startswith("ACT NOW  ")
    assert "\n             scorestream worker --restart\n" in text
    assert "Is data lost? No" in text


def test_without_kafka_the_reason_stands_first() -> None:
    assert shown(Situation(None, [], "k:9092 does not answer")).startswith("ACT NOW  k:9092 does not answer")
