"""Pieces of one scorecard, and groups of several: every row once, and no more rows at once than allowed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.pieces import MOST, groups, pieces, pieces_for


@pytest.mark.parametrize("count", [1, 2, 31, MOST])
def test_the_pieces_have_every_ending_once(count: int) -> None:
    made = pieces(count)
    assert len(made) == count
    assert sorted(ending for piece in made for ending in piece.endings) == [f"{n:02x}" for n in range(256)]
    assert [piece.others for piece in made] == [True] + [False] * (count - 1)


@given(st.integers(0, 10**8), st.integers(1, 10**5))
def test_the_pieces_of_many_rows_are_well_below_the_limit(rows: int, most: int) -> None:
    count = pieces_for(rows, most)
    assert 2 <= count <= MOST
    assert count == MOST or rows / count <= most * 2 / 3


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 20))
def test_groups_keep_the_order_and_the_limit(sizes: list[int], most: int) -> None:
    of = {str(at): size for at, size in enumerate(sizes)}
    made = list(groups(of, most))
    assert [each for group in made for each in group] == list(of)
    assert all(len(group) == 1 or sum(of[i] for i in group) <= most for group in made)
    assert all(sum(of[i] for i in [*one, *two[:1]]) > most for one, two in pairwise(made))
