"""Reindex now: which writes remain for chosen keys."""

from __future__ import annotations

from typing import Any

from stream.pipeline.placement import place_of
from stream.pipeline.writes import Writes
from stream.reindex.now import only
from stream.tables import SCORE
from tests.unit.verify.rows import AT, CARD, LAYOUT, ROW, target


def test_writes_are_cut_down_to_some_keys() -> None:
    # given two rows of one scorecard
    writes = Writes()
    place = place_of(customer_id="acme", scorecard_type=None, process=True, event_time_us=AT)
    columns: list[list[Any]] = [
        [ROW, ROW + 1] if column.name == "score_id" else [None, None] for column in SCORE.columns
    ]
    writes.add_placed(SCORE, LAYOUT, places=[place] * 2, scorecards=[CARD] * 2, columns=columns, versions=[5, 5])
    # when only one key is wanted, then one row is left
    assert only(writes, {target().key}).rows == 1
    assert only(writes, set()).rows == 0
    assert not only(writes, set())
