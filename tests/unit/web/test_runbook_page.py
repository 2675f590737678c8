"""The runbooks on the page and in the document."""

from __future__ import annotations

from stream.web.runbook_page import markdown, page
from stream.web.runbooks import RUNBOOKS


def test_the_page_has_every_runbook_with_its_commands() -> None:
    text = page()
    for each in RUNBOOKS:
        assert f'<section id="{each.id}">' in text
    assert "<pre>scorestream connectors status  # shows PAUSED, exit code 1\nSELECT" in text


def test_the_document_sets_sql_and_commands_apart() -> None:
    text = markdown()
    assert "```sql\n-- in Postgres\nSELECT slot_name" in text
    assert "```console\n$ scorestream verify --repair  # shows clean\n```" in text
    assert text.count("```") % 2 == 0
