"""The short way for plain upserts of scores decides and writes what the long way does, and leaves the rest to it."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest

from stream.batch import Layout
from stream.envelope import Decoder
from stream.placement import Place, State
from stream.transform import plan_scores, plan_upserts, scorecard_ids, versions_of
from stream.upserts import UpsertDecoder
from stream.values import UNAVAILABLE
from tests.fakes import envelope

DAY_US = 86_400_000_000
LAYOUT = Layout(shards=2, bucket_days=1)


def score(number: int, **values: Any) -> dict[str, Any]:
    row = {
        "score_id": str(UUID(int=number)),
        "scorecard_id": str(UUID(int=1_000_000 + number // 9)),
        "criterion_id": str(UUID(int=7)),
        "numeric_value": number / 2,
        "ai_value": None if number % 3 else "4.5",
        "not_applicable": number % 2 == 0,
        "comment": None if number % 5 == 0 else f"comment {number}",
        "updated_at": "2026-03-01T10:00:00.123456Z" if number % 2 else 1_767_225_600_123_456,
    }
    return row | values


def upsert(number: int, **values: Any) -> bytes:
    """A create, or an update that stays."""
    row = score(number, **values)
    before = score(number, comment="before") if number % 4 == 0 else None
    return envelope("scores", "u" if before else "c", before, row, sequence=(500 + number, 10_000 - number))


def places(count: int) -> dict[str, Place]:
    """Of all states, over both shards; every fifth scorecard is gone."""
    chance = random.Random(count)
    return {
        str(UUID(int=1_000_000 + card)): Place(
            State.APPEAL if card % 7 == 0 else State.WAITING if card % 11 == 0 else State.VISIBLE,
            f"customer-{card % 3}",
            None if card % 11 == 0 else 20_000 * DAY_US + chance.randrange(40) * DAY_US,
            card % 2 == 0,
        )
        for card in range(count)
        if card % 5
    }


@pytest.mark.parametrize("messages", [1, 2, 40, 2_500])
def test_the_short_way_decides_and_writes_what_the_long_way_does(messages: int) -> None:
    # given plain upserts, in no order
    values: list[bytes | None] = [upsert(number) for number in range(messages)]
    random.Random(messages).shuffle(values)
    changes: list[Any] = Decoder("scores").decode(values)
    where = places(messages // 9 + 1)
    # when both ways plan
    short = UpsertDecoder().decode(values)
    assert short is not None
    planned, expected = plan_upserts(short, where, LAYOUT), plan_scores(changes, where, LAYOUT)
    # then they are the same, to the order of the rows
    assert planned.outcomes == expected.outcomes
    assert list(planned.writes) == list(expected.writes)
    assert (planned.reindex, planned.refused) == ({}, {})
    assert scorecard_ids(short) == scorecard_ids(changes)
    assert versions_of(short) == versions_of(changes)
    assert short.commit_ms == [change.source.ts_ms for change in changes]


def test_scores_of_other_scorecards_than_the_wanted_ones_are_ignored() -> None:
    values: list[bytes | None] = [upsert(number) for number in range(90)]
    short = UpsertDecoder().decode(values)
    assert short is not None
    wanted = str(UUID(int=1_000_001))
    plan = plan_upserts(short, places(10), LAYOUT, wanted=[wanted])
    assert [at for at, outcome in enumerate(plan.outcomes) if outcome != "ignored"] == list(range(9, 18))
    assert plan.writes.rows == 9


@pytest.mark.parametrize(
    "odd",
    [
        None,
        b"{",
        envelope("scores", "d", score(3), None),
        envelope("scores", "u", score(3), score(3, scorecard_id=str(UUID(int=5)))),
        envelope("scores", "u", score(3, score_id="x"), score(3)),
        envelope("scores", "u", None, None),
        envelope("chats", "c", None, score(3)),
        upsert(3, score_id="no uuid"),
        upsert(3, scorecard_id="no uuid"),
        upsert(3, criterion_id="no uuid"),
        upsert(3, numeric_value="NaN"),
        upsert(3, updated_at="9999-01-01T00:00:00Z"),
        upsert(3, comment=UNAVAILABLE),
        upsert(1_200),  # a second change of one score
        envelope("scores", "c", None, score(3), sequence=None),
        envelope("scores", "c", None, score(3), sequence=(None, 2**56)),
    ],
    ids=lambda value: "tombstone" if value is None else None,
)
def test_what_needs_a_decision_sends_the_whole_batch_the_long_way(odd: bytes | None) -> None:
    plain: list[bytes | None] = [upsert(number) for number in range(10, 1_300)]
    assert UpsertDecoder().decode(plain) is not None
    assert UpsertDecoder().decode([*plain, odd]) is None
