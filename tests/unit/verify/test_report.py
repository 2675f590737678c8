"""The tables of a comparison: counts by day with gaps."""

from __future__ import annotations

from stream.times import day_text
from stream.verify.cells import Cell, Content
from stream.verify.report import days, gaps


def test_counts_by_day_mark_gaps() -> None:
    cells = {Cell("scorecard", "acme", day, True): Content(2, 1) for day in (20_000, 20_002)}
    assert [(day.scorecards, day.scorecards_shown, day.gap) for day in days(cells, [cells, {}])] == [
        (2, 2, False),
        (0, 0, True),
        (2, 2, False),
    ]
    assert gaps(cells) == {"acme": [day_text(20_001)]}
    assert days({}, []) == []
