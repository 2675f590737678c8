"""Reindex now: which writes remain for chosen keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stream.epochs import ONE_EPOCH
from stream.errors import ClickHouseUnavailable, Retry
from stream.pipeline.placement import place_of
from stream.pipeline.writes import Writes
from stream.reindex import now
from stream.reindex.now import ReindexNow, only
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


class _Once:
    """A shard that is away for the first question."""

    def __init__(self) -> None:
        self.asked = 0

    def everywhere(self, query: str) -> list[tuple[int, int]]:
        self.asked += 1
        if self.asked == 1:
            raise ClickHouseUnavailable("shard 0 is away")
        return [(0, 7), (1, 9)]


def _until_it_answers(step: Callable[[], Any]) -> Any:
    while True:
        try:
            return step()
        except Retry:
            continue


def test_the_highest_version_is_asked_for_until_all_shards_answer() -> None:
    # given a shard that does not answer at first
    reindex: Any = ReindexNow.__new__(ReindexNow)
    reindex._shards, reindex._retry, reindex._floor, reindex._epochs = _Once(), _until_it_answers, None, ONE_EPOCH
    # when, then
    assert reindex._version_floor(now=10) == 9


def test_versions_of_rows_under_the_empty_customer_count(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    for name in ("highest", "highest_of"):
        monkeypatch.setattr(now, name, lambda _shards, _ids, under, **_: asked.append(under) or {})
    reindex: Any = ReindexNow.__new__(ReindexNow)
    reindex._shards = None
    for ask in (reindex._held, reindex._future):
        ask(["5c000000-0000-4000-8000-000000000000"], {"acme", ""}, 10)
    assert asked == [["", "acme"]] * 2
