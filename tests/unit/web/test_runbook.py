"""A line of a runbook."""

from __future__ import annotations

import pytest

from stream.web.runbook import CLICKHOUSE, CONSOLE, POSTGRES, Line


@pytest.mark.parametrize(
    ("line", "language", "pasted"),
    [
        (Line("scorestream lag", "STALL", 1), CONSOLE, "scorestream lag  # shows STALL, exit code 1"),
        (Line("SELECT 1;", "1"), POSTGRES, "SELECT 1;  -- shows 1"),
        (Line("SELECT * FROM system.merges;"), CLICKHOUSE, "SELECT * FROM system.merges;"),
    ],
)
def test_a_line_knows_where_it_belongs_and_says_what_it_shows(line: Line, language: str, pasted: str) -> None:
    assert (line.language, line.pasted) == (language, pasted)
