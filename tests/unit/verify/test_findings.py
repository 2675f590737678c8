"""Which rows are missing, extra or stale, and why, from values alone."""

from __future__ import annotations

from typing import Any

import pytest

from stream.tables import SCORE
from stream.verify.findings import compare
from stream.verify.row_states import Card, InPostgres, TargetRow, columns_that_differ
from tests.unit.verify.rows import AT, LAYOUT, SAME, card, in_postgres, target


def findings(states: InPostgres, *shown: TargetRow, **options: Any) -> list[tuple[str, str]]:
    found = compare(states, shown, LAYOUT, **{"highest": {}, "dead_letters": {}} | options)
    return [(each.what, each.reason) for each in found]


def test_a_row_in_its_place_with_its_content_is_no_finding() -> None:
    assert findings(in_postgres(card()), target()) == []


def test_columns_that_differ_are_named() -> None:
    # given a row whose third column has another hash
    hashes = SAME[:32] + "1" * 16 + SAME[48:]
    # then that column is named
    assert columns_that_differ(SCORE, SAME, hashes) == ["event_time"]
    assert findings(in_postgres(card(), hashes=hashes), target()) == [("stale", "content differs in event_time")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shard": 1}, "wrong shard: on 1, belongs on 0"),
        (
            {"event_time_us": AT - 1},
            "ghost of another time: at 2024-10-04T00:00:00.000004+00:00, belongs at 2024-10-04T00:00:00.000005+00:00",
        ),
        ({"customer_id": "other"}, "wrong customer: under other, belongs to acme"),
    ],
)
def test_a_row_in_a_wrong_place_is_extra_and_says_where_it_belongs(change: dict[str, Any], words: str) -> None:
    # given the row in its place, and once more in another
    assert findings(in_postgres(card()), target(), target(**change)) == [("extra", words)]
    # and when it is in the other place only, it is missing in its own
    found = findings(in_postgres(card()), target(**change))
    assert ("extra", words) in found
    assert ("missing", f"shown in a wrong place only: {words}") in found


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (None, "scorecard gone in Postgres"),
        (card(kind=3), "appeal (scorecard_type 3, resolve"),
        (card(kind=8), "unknown scorecard_type 8"),
        (card(at=None), "no scorecard_time"),
        (card(conversation="c1", at=None), "conversation c1 is not in Postgres"),
        (card(conversation="c1", at=None, chat=True), "conversation c1 has no started_at"),
    ],
)
def test_rows_of_what_is_not_to_be_shown_are_extra(of: Card | None, words: str) -> None:
    ((what, reason),) = findings(in_postgres(of), target())
    assert what == "extra"
    assert words in reason


def test_a_missing_row_says_why() -> None:
    home = target().key
    row_id = "00000000-0000-0000-0000-00000000000b"
    assert findings(in_postgres(card())) == [("missing", "not in ClickHouse at all")]
    hidden = findings(in_postgres(card()), highest={home: (7, True)})
    assert hidden == [("missing", "hidden by a delete marker of version 7")]
    assert findings(in_postgres(card()), dead_letters={row_id: "dead letter t-0@5"}) == [
        ("missing", "dead letter t-0@5")
    ]
    assert findings(in_postgres(card(), fault="ai_value is not finite")) == [
        ("missing", "cannot be indexed: ai_value is not finite")
    ]


def test_a_score_that_is_gone_or_belongs_elsewhere_is_extra() -> None:
    states = in_postgres(card())
    assert ("extra", "score gone in Postgres") in findings(states, target(), target(row_id=0xC))
    states.cards[0xD] = card()
    assert ("extra", "belongs to another scorecard") in findings(states, target(), target(scorecard_id=0xD))
