"""Cells: which ones differ, and on which shard."""

from __future__ import annotations

from stream.verify.cells import Cell, Content, differing
from tests.unit.verify.rows import LAYOUT


def test_cells_are_wanted_on_the_shard_of_their_day_only() -> None:
    # given a cell that both have, and one that stands on the other shard
    right, moved = Cell("score", "acme", 20_000, True), Cell("score", "acme", 20_001, True)
    content = Content(3, 99)
    # when they are compared
    found = differing({right: content, moved: content}, [{right: content, moved: content}, {}], LAYOUT)
    # then the second is extra on shard 0, and missing on shard 1
    assert [(each.cell, each.shard, each.postgres.rows, each.clickhouse.rows) for each in found] == [
        (moved, 0, 0, 3),
        (moved, 1, 3, 0),
    ]
