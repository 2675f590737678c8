"""The highest version of each sort key: every shard is asked, and nothing is asked about nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from stream.clickhouse.versions import highest, highest_of
from stream.pipeline.stored import Key

CARD, ROW = UUID(int=1), UUID(int=2)


class Shards:
    """Two shards that hold a marker of the scorecard, and its score."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    def everywhere(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        self.asked.append(values)
        if ".scorecard " in query:
            return [(0, "acme", CARD, CARD, 5, 9, 1)]
        return [(1, "acme", CARD, ROW, 6, 8, 0)]


def test_each_sort_key_has_its_shard_version_and_whether_it_is_a_marker() -> None:
    shards: Any = Shards()
    assert highest(shards, [str(CARD)], ["acme"]) == {
        Key(0, "scorecard", "acme", 1, 1, 5): (9, True),
        Key(1, "score", "acme", 1, 2, 6): (8, False),
    }
    assert shards.asked == 2 * [{"ids": (str(CARD),), "customers": ("acme",)}]


def test_without_scorecards_or_customers_no_shard_is_asked() -> None:
    shards: Any = Shards()
    assert highest(shards, [], ["acme"]) == highest(shards, [str(CARD)], []) == {}
    assert not shards.asked


class Counted:
    """Two shards with the highest version of a scorecard in either table."""

    def __init__(self) -> None:
        self.queries: list[str] = []

    def everywhere(self, query: str, _: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        self.queries.append(query)
        return [(0, CARD, 5), (1, CARD, 7)] if ".score " in query else [(1, CARD, 6)]


def test_a_scorecard_with_very_many_rows_comes_as_one_version() -> None:
    shards: Any = Counted()
    assert highest_of(shards, [str(CARD)], ["acme"], most=99) == {1: 7}
    assert all("<= toUInt128('99')" in query for query in shards.queries)
    assert highest_of(shards, [], ["acme"], most=99) == highest_of(shards, [str(CARD)], [], most=99) == {}
    assert len(shards.queries) == 2
