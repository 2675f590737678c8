"""The runbooks: each says what an operator on call needs."""

from __future__ import annotations

import pytest

from stream.web.runbook import Runbook
from stream.web.runbooks import RUNBOOKS
from tests.states import STATES


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda each: each.id)
def test_a_runbook_answers_every_question(runbook: Runbook) -> None:
    for text in (runbook.meaning, runbook.lost, runbook.look, runbook.act, runbook.time, runbook.call):
        assert text.endswith(".")
    assert runbook.look_at or runbook.run
    for line in (*runbook.look_at, *runbook.run):
        assert line.text.startswith(("scorestream ", "kafka-configs.sh ", "kill ")) or line.text.endswith(";"), line


def test_an_id_is_given_once() -> None:
    assert len({each.id for each in RUNBOOKS}) == len(RUNBOOKS)


def test_each_state_can_be_made_on_a_stack_or_the_page_says_why_not() -> None:
    assert {*STATES} == {each.id for each in RUNBOOKS if not each.untried}
