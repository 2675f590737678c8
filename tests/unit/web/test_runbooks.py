"""The runbooks: each says what an operator on call needs, and is the same on the page as in the document."""

from __future__ import annotations

import pytest

from stream.web.runbooks import RUNBOOKS, Runbook, markdown, page


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda each: each.id)
def test_a_runbook_answers_every_question(runbook: Runbook) -> None:
    for text in (runbook.meaning, runbook.lost, runbook.look, runbook.act, runbook.time, runbook.call):
        assert text.endswith(".")
    assert runbook.look_at or runbook.run
    for line in (*runbook.look_at, *runbook.run):
        assert line.startswith("scorestream ") or line.endswith(";"), line


def test_an_id_is_given_once() -> None:
    assert len({each.id for each in RUNBOOKS}) == len(RUNBOOKS)


def test_the_page_has_every_runbook_with_its_commands() -> None:
    text = page()
    for each in RUNBOOKS:
        assert f'<section id="{each.id}">' in text
    assert "<pre>scorestream connectors status\nSELECT" in text


def test_the_document_sets_sql_and_commands_apart() -> None:
    text = markdown()
    assert "```sql\nSELECT slot_name" in text
    assert "```console\n$ scorestream verify --repair\n```" in text
    assert text.count("```") % 2 == 0
