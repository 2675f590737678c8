"""Column-wise rows: which shard gets which, and what a delete marker holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.placement import Place, State
from stream.pipeline.writes import Layout, Writes
from stream.tables import SCORE, TARGETS, Table
from tests.fakes.rows import DAY_US

LAYOUT = Layout(shards=3, bucket_days=1)


def placed(days: list[int]) -> Writes:
    """A score for each of these days; its id is its number."""
    writes = Writes()
    columns = [list(range(len(days))) if column.name == SCORE.id else [None] * len(days) for column in SCORE.columns]
    places = [Place(State.VISIBLE, "acme", day * DAY_US, True) for day in days]
    if days:
        writes.add_placed(
            SCORE, LAYOUT, places=places, scorecards=[1] * len(days), columns=columns, versions=list(range(len(days)))
        )
    return writes


@given(st.lists(st.integers(0, 9)))
def test_every_row_goes_to_the_shard_of_its_day_once(days: list[int]) -> None:
    # when rows of any days are added
    writes = placed(days)
    # then each stands on the shard of its day, with its own columns beside it
    found = {}
    for shard, _, columns in writes:
        by_name = dict(zip(SCORE.insert_columns, columns, strict=True))
        for own, at, version in zip(by_name["score_id"], by_name["event_time"], by_name["_version"], strict=True):
            found[own] = (shard, at // DAY_US, version)
    assert found == {number: (day % 3, day, number) for number, day in enumerate(days)}
    assert writes.rows == len(days)
    assert bool(writes) == bool(days)


@pytest.mark.parametrize("table", TARGETS, ids=lambda table: table.target)
def test_a_marker_has_the_sort_key_and_blanks(table: Table) -> None:
    # given the columns of the sort key
    key = {"customer_id": "acme", "scorecard_id": 1, "event_time": 5, table.id: 1}
    writes = Writes()
    # when a marker is added
    writes.add_marker(table, 0, key, version=9)
    # then it is deleted at that version, and no column that may not be NULL is missing
    ((_, _, columns),) = writes
    row = dict(zip(table.insert_columns, [column[0] for column in columns], strict=True))
    assert row.items() >= (key | {"_version": 9, "_deleted": 1}).items()
    for column in table.all_columns:
        assert column.nullable or row[column.name] is not None


def test_markers_are_added_column_by_column() -> None:
    # given the sort keys of two rows
    keys = {"customer_id": ["acme", "acme"], "scorecard_id": [1, 2], "event_time": [5, 6], "score_id": [3, 4]}
    one_by_one, together = Writes(), Writes()
    # when their markers are added together
    together.add_markers(SCORE, 0, keys, versions=[8, 16])
    # then they are those that would be added one by one
    for at, version in enumerate([8, 16]):
        one_by_one.add_marker(SCORE, 0, {name: values[at] for name, values in keys.items()}, version=version)
    assert list(together) == list(one_by_one)


def test_a_place_without_time_holds_no_rows() -> None:
    with pytest.raises(ValueError, match="without event time"):
        LAYOUT.key(SCORE, Place(State.WAITING, "acme"), scorecard_id=1, row_id=2)
