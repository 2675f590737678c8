"""The comparison's three findings."""

from __future__ import annotations

from stream.tables import SCORE
from testbed.visibility.compare import _difference


def test_a_comparison_tells_missing_extra_and_stale_rows_apart():
    # given rows of the score table that differ in id (5th column) or in a value
    def row(score_id: str, comment: str = "") -> tuple:
        return ("spirit", "card", 1, False, score_id, "criterion", 1.0, None, False, comment, 2)

    wanted = [row("same"), row("missing"), row("stale", "new")]
    shown = [row("same"), row("stale", "old"), row("extra"), row("extra")]
    # when
    found = _difference("spirit", SCORE, wanted, shown)
    # then
    assert (found.missing, found.extra, found.stale, found.rows) == (1, 2, 1, 4)
    assert any("comment 'old' not 'new'" in example for example in found.examples)
