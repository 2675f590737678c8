"""The plan of a reindex: rows for the present place, markers for the rows that stand elsewhere."""

from __future__ import annotations

from typing import Any

from stream.pipeline.placement import Place, State
from stream.pipeline.reindex import Reindex, plan_reindex
from stream.pipeline.stored import Key, Snapshot, Standing
from stream.pipeline.values import uuid_int
from stream.pipeline.writes import Layout
from stream.tables import SCORE, SCORECARD
from tests.fakes.rows import DAY_US, row_of

CARD, SCORE_ID = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
LAYOUT = Layout(shards=2, bucket_days=1)
HERE = Place(State.VISIBLE, "acme", 4 * DAY_US, True)


def snapshot(place: Place, **score: Any) -> Snapshot:
    """A scorecard with one score, as Postgres has them."""
    rows = {}
    for table, row in ((SCORECARD, row_of("scorecards", CARD)), (SCORE, row_of("scores", SCORE_ID) | score)):
        rows[table.target] = [(CARD, *(row[column.name] for column in table.columns))]
    return Snapshot({CARD: place}, rows)


def planned(of: Snapshot, *standing: Standing, version: int = 7) -> Reindex:
    return plan_reindex({CARD: version}, of, standing, LAYOUT)


def own_key(day: int, table: str = "scorecard", row: str = CARD) -> Key:
    return Key(day % 2, table, "acme", uuid_int(CARD), uuid_int(row), day * DAY_US)


def counts(writes: Any) -> dict[tuple[int, str], int]:
    return {(shard, table.target): len(columns[0]) for shard, table, columns in writes}


def test_rows_elsewhere_up_to_the_version_get_a_marker() -> None:
    # given rows in the present place, in an old one, and in another one that is newer than the snapshot
    rows = [Standing(own_key(4), 3), Standing(own_key(5), 7), Standing(own_key(6), 8)]
    # when the scorecard is reindexed
    plan = planned(snapshot(HERE), *rows)
    # then its rows are written, and only the old place gets a marker
    assert counts(plan.rows) == {(0, "scorecard"): 1, (0, "score"): 1}
    assert counts(plan.markers) == {(1, "scorecard"): 1}


def test_an_appeal_gets_markers_and_no_rows() -> None:
    plan = planned(snapshot(Place(State.APPEAL, "acme", 4 * DAY_US, True)), Standing(own_key(4), 3))
    assert not plan.rows
    assert counts(plan.markers) == {(0, "scorecard"): 1}


def test_a_row_that_clickhouse_cannot_hold_is_refused_and_its_older_state_retired() -> None:
    # given an older state of the score, and an infinite number in Postgres
    older = Standing(own_key(4, "score", SCORE_ID), 3)
    # when the scorecard is reindexed
    plan = planned(snapshot(HERE, numeric_value=float("inf")), older)
    # then the score is refused, and its older state gets a marker
    assert [(card, why.reason) for card, why in plan.refused] == [(CARD, "not_finite")]
    assert counts(plan.rows) == {(0, "scorecard"): 1}
    assert counts(plan.markers) == {(0, "score"): 1}
