"""Appeals and the rows that ClickHouse shows of them: how many queries that takes, and which appeals count."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from stream.postgres.defining_query import SourceSql
from stream.scope import Scope
from stream.verify import visible_appeals as module
from stream.verify.visible_appeals import appeals, visible

_TYPES = {("scorecards", "scorecard_id"): "uuid"} | dict.fromkeys(
    [("scorecards", "conversation_id"), ("chats", "conversation_id")], "text"
)
SOURCE = SourceSql("app", _TYPES)
_REPLICA, _REQUEST = 1, 2


def card(number: int) -> str:
    return str(UUID(int=number))


class FakePostgres:
    """Appeals by id, in pages, as (id, customer, type)."""

    def __init__(self, *appeals: tuple[str, str, int]) -> None:
        self.appeals = sorted(appeals)
        self.pages = 0

    def execute(self, query: bytes, values: list[Any]) -> Any:
        text = query.decode()
        if "ANY" in text:
            return [(i,) for i, *_ in self.appeals if i in values[0]]
        self.pages += 1
        after = values[-1] if "s.scorecard_id >" in text else ""
        size = int(text.rpartition("LIMIT ")[2])
        found = [row for row in self.appeals if row[0] > after][:size]
        return Found(found)


class Found(list[Any]):
    """A cursor's rows."""

    def fetchall(self) -> list[Any]:
        return list(self)


class FakeShards:
    """Shards that show rows of scorecards, and count what they are asked.

    Args:
        shown: (shard, table, customer, scorecard id) -> rows.
        hidden: scorecards with a delete marker of the same version behind their row.
    """

    def __init__(self, count: int, shown: dict[tuple[int, str, str, str], int], hidden: tuple[str, ...] = ()) -> None:
        self.count = count
        self.shown = shown
        self.hidden = hidden
        self.rounds = 0
        self.queries = 0
        self.final: list[int] = []  # ids of each query with FINAL

    def everywhere(self, query: str, values: Any, *, settings: Any = None) -> list[tuple[Any, ...]]:
        self.rounds += 1
        self.queries += self.count
        assert ".scorecard " in query
        assert ".score " in query
        ids = set(values["ids"])
        if "FINAL" not in query:
            found = [(shard, UUID(i)) for shard, _, _, i in self.shown if i in ids]
            return found + [(0, UUID(i)) for i in self.hidden if i in ids]
        self.final.append(len(ids))
        return [(shard, t, c, UUID(i), rows) for (shard, t, c, i), rows in self.shown.items() if i in ids]


def counted(postgres: Any, shards: Any, **options: Any) -> Any:
    return appeals(postgres, SOURCE, shards, Scope(), **options)


@pytest.mark.parametrize(("filed", "shards", "rounds"), [(0, 8, 0), (1, 1, 1), (25, 8, 3), (25, 100, 3), (30, 2, 3)])
def test_a_page_is_one_query_for_both_tables_on_all_shards_at_once(
    monkeypatch: pytest.MonkeyPatch, filed: int, shards: int, rounds: int
) -> None:
    # given appeals of which ClickHouse shows none, ten of them a page
    monkeypatch.setattr(module, "PAGE", 10)
    stored = FakeShards(shards, {})
    found = counted(FakePostgres(*((card(n), "c", _REQUEST) for n in range(filed))), stored)
    # then as many rounds as pages, each one query a shard, and none with FINAL
    assert (stored.rounds, stored.queries, stored.final) == (rounds, rounds * shards, [])
    assert sum(each.by_type[_REQUEST] for each in found) == filed


def test_only_what_may_be_visible_is_asked_for_with_final() -> None:
    shown = {(0, "scorecard", "c", card(1)): 1, (1, "score", "c", card(1)): 3}
    stored = FakeShards(2, shown, hidden=(card(2),))
    found = visible(stored, [card(n) for n in range(9)], {"c"})  # type: ignore[arg-type]
    assert sorted(found) == [("score", "c", card(1), 3), ("scorecard", "c", card(1), 1)]
    assert stored.final == [2]


def test_rows_on_several_shards_count_each_for_its_customer() -> None:
    shown = {(0, "scorecard", "a", card(1)): 1, (1, "scorecard", "a", card(1)): 1, (1, "score", "b", card(2)): 4}
    postgres = FakePostgres((card(1), "a", _REPLICA), (card(2), "b", _REQUEST))
    one, other = counted(postgres, FakeShards(2, shown), lasting=False)
    assert (one.customer_id, one.visible, one.visible_scores) == ("a", 2, 0)
    assert (other.customer_id, other.visible, other.visible_scores) == ("b", 0, 4)


def test_an_appeal_on_its_way_out_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_AFTER_S", (0.0, 0.0))
    stored = FakeShards(1, {(0, "scorecard", "c", card(1)): 1})
    seen = threading.Event()

    def caught_up() -> bool:
        stored.shown.clear()  # the pipeline has retired it meanwhile
        seen.set()
        return True

    (found,) = counted(FakePostgres((card(1), "c", _REQUEST)), stored, caught_up=caught_up)
    assert seen.is_set()
    assert found.visible == 0


def test_what_goes_on_being_shown_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_AFTER_S", (0.0, 0.0))
    stored = FakeShards(1, {(0, "scorecard", "c", card(1)): 1})
    (found,) = counted(FakePostgres((card(1), "c", _REQUEST)), stored)
    assert found.visible == 1
    assert Counter(found.as_json())["visible_scorecards"] == 1


def test_while_the_pipeline_lags_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_AFTER_S", (0.0,))
    stored = FakeShards(1, {(0, "scorecard", "c", card(1)): 1})
    (found,) = counted(FakePostgres((card(1), "c", _REQUEST)), stored, caught_up=lambda: False)
    assert found.visible == 0
