"""Explain: the sentence that sums up a scorecard."""

from __future__ import annotations

from stream.tables import SCORECARD
from stream.verify.explain import Explanation, verdict
from stream.verify.findings import RowDifference
from stream.verify.row_states import Card
from tests.unit.verify.rows import AT, card


def story(of: Card | None, *found: RowDifference, lag: str = "") -> tuple[str, str]:
    return verdict(Explanation("id", card=of, findings=list(found), lag=lag, shard=0, shown={"score": 2}))


def wrong(reason: str) -> RowDifference:
    return RowDifference("missing", SCORECARD.target, "id", "id", "acme", AT, True, 0, reason)


def test_the_sentence_of_explain() -> None:
    assert story(card()) == ("indexed", "Indexed: on shard 0 with 2 scores, equal to Postgres in all columns.")
    assert story(None)[0] == "not in postgres"
    word, sentence = story(card(kind=2))
    assert word == "appeal"
    assert "request), since 2024-10-04" in sentence
    assert story(card(kind=8))[0] == "unknown type"
    assert "Waiting: conversation c1 is not in Postgres" in story(card(conversation="c1", at=None))[1]
    word, sentence = story(card(), wrong("not in ClickHouse at all"))
    assert word == "wrong"
    assert sentence.endswith("`scorestream reindex --id id` repairs it.")
    assert story(card(), wrong("x"), lag="5 messages behind") == (
        "not yet",
        "Not yet: 5 messages behind; so far missing scorecard: x.",
    )
    assert story(card(), wrong("dead letter t-0@4"))[0] == "dead letter"
