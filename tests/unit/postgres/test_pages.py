"""Pages of scorecards: each starts behind the last id of the one before, by a query of its own."""

from __future__ import annotations

from typing import Any

from stream.postgres.defining_query import SourceSql
from stream.postgres.pages import appeal_ids, pages
from stream.scope import Scope

SOURCE = SourceSql(
    "app",
    {
        ("scorecards", "scorecard_id"): "uuid",
        ("scorecards", "conversation_id"): "text",
        ("chats", "conversation_id"): "text",
    },
)


class FakeConnection:
    """Scorecards by id; keeps the queries and their values."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids
        self.asked: list[tuple[str, list[Any]]] = []

    def execute(self, query: bytes, values: list[Any]) -> Any:
        self.asked.append((query.decode(), values))
        after = values[-1] if "s.scorecard_id >" in query.decode() else ""
        self.found = [(i, "acme", 2) for i in self.ids if i > after][: int(query.decode().rpartition("LIMIT ")[2])]
        return self

    def fetchall(self) -> list[Any]:
        return self.found


def test_every_scorecard_comes_once_and_in_order() -> None:
    connection: Any = FakeConnection(*"abcde")
    found = list(pages(connection, SOURCE, ["TRUE"], [], after=None, size=2))
    assert [[i for i, _, _ in page] for page in found] == [["a", "b"], ["c", "d"], ["e"]]
    assert [values for _, values in connection.asked] == [[], ["b"], ["d"], ["e"]]


def test_a_resumed_pass_goes_on_behind_its_last_id() -> None:
    connection: Any = FakeConnection(*"abcde")
    found = list(pages(connection, SOURCE, ["TRUE"], [], after="c", size=9))
    assert [i for page in found for i, _, _ in page] == ["d", "e"]


def test_appeals_are_limited_by_type_and_by_the_scope() -> None:
    # given the appeals of one customer
    connection: Any = FakeConnection("a")
    # when they are read
    assert list(appeal_ids(connection, SOURCE, Scope(customers=("acme",)))) == [[("a", "acme", 2)]]
    # then each query has both conditions
    for query, values in connection.asked:
        assert "s.scorecard_type IN (1, 2, 3)" in query
        assert values[0] == ["acme"]
