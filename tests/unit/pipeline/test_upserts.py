"""The short way for plain upserts decides and writes what the long way does, and leaves the rest to it."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

import pytest

from stream.pipeline.decisions import plan_scorecards, plan_scores
from stream.pipeline.decoder import Decoder
from stream.pipeline.placement import Place, State
from stream.pipeline.plan import plan_upserts, scorecard_ids, versions_of
from stream.pipeline.upserts import UpsertDecoder
from stream.pipeline.values import UNAVAILABLE
from stream.pipeline.writes import Layout
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


def upsert(number: int, *, sequence: tuple[int, int] | None = None, **values: Any) -> bytes:
    """A create, or an update that stays."""
    row = score(number, **values)
    before = score(number, comment="before") if number % 4 == 0 else None
    order = sequence or (500 + number, 10_000 - number)
    return envelope("scores", "u" if before else "c", before, row, sequence=order)


def card(number: int, **values: Any) -> dict[str, Any]:
    row = {
        "scorecard_id": str(UUID(int=1_000_000 + number)),
        "customer_id": f"customer-{number % 3}",
        "scorecard_type": (None, 0, 2, None)[number % 4],
        "template_id": str(UUID(int=7)),
        "conversation_id": (str(UUID(int=9_000 + number)), "", None)[number % 3],
        "agent_user_id": str(UUID(int=5)) if number % 2 else None,
        "submission_source": number % 2 or None,
        "scorecard_time": "2026-03-01T10:00:00Z" if number % 2 else 1_767_225_600_123_456,
        "submitted_at": None,
        "score": None if number % 5 == 0 else 87.5,
        "comment": f"comment {number}",
        "created_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-01T10:00:00.123456Z",
    }
    return row | values


def card_upsert(number: int, *, sequence: tuple[int, int] | None = None, **values: Any) -> bytes:
    """A create, a read, or an update that stays."""
    row = card(number, **values)
    before = card(number, comment="before") if number % 4 == 1 else None
    op = "u" if before else "r" if number % 2 else "c"
    return envelope("scorecards", op, before, row, sequence=sequence or (500 + number, 10_000 - number))


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
    short = UpsertDecoder("scores").decode(values)
    assert short is not None
    planned, expected = plan_upserts(short, where, LAYOUT), plan_scores(changes, where, LAYOUT)
    # then they are the same, to the order of the rows
    assert planned.outcomes == expected.outcomes
    assert list(planned.writes) == list(expected.writes)
    assert (planned.reindex, planned.refused) == ({}, {})
    assert scorecard_ids(short) == scorecard_ids(changes)
    assert versions_of(short) == versions_of(changes)
    assert short.commit_ms == [change.source.ts_ms for change in changes]


@pytest.mark.parametrize("messages", [1, 2, 40, 1_500])
def test_the_short_way_of_scorecards_does_what_their_long_way_does(messages: int) -> None:
    # given plain upserts of scorecards, in no order
    values: list[bytes | None] = [card_upsert(number) for number in range(messages)]
    random.Random(messages).shuffle(values)
    changes: list[Any] = Decoder("scorecards").decode(values)
    where = places(messages)
    # when both ways plan
    short = UpsertDecoder("scorecards").decode(values)
    assert short is not None
    planned, expected = plan_upserts(short, where, LAYOUT), plan_scorecards(changes, where, LAYOUT)
    # then they are the same, to the order of the rows
    assert planned.outcomes == expected.outcomes
    assert list(planned.writes) == list(expected.writes)
    assert (expected.reindex, expected.refused) == ({}, {})
    assert versions_of(short) == versions_of(changes)


@pytest.mark.parametrize("table", ["scores", "scorecards"])
@pytest.mark.parametrize("seed", range(8))
def test_of_rows_that_come_several_times_the_newest_is_written_as_the_long_way_does(table: str, seed: int) -> None:
    # given plain upserts of few rows, also with equal versions
    chance = random.Random(seed)
    make = upsert if table == "scores" else card_upsert
    values: list[bytes | None] = [
        make(chance.randrange(120), sequence=(500, chance.randrange(30)), comment=f"come {at}") for at in range(300)
    ]
    changes: list[Any] = Decoder(table).decode(values)
    where = places(120)
    # when both ways plan
    short = UpsertDecoder(table).decode(values)
    assert short is not None
    planned = plan_upserts(short, where, LAYOUT)
    expected = (plan_scores if table == "scores" else plan_scorecards)(changes, where, LAYOUT)
    # then they are the same, to the order of the rows
    assert planned.outcomes == expected.outcomes
    assert planned.outcomes.count("superseded") > 50
    assert list(planned.writes) == list(expected.writes)
    assert (expected.reindex, expected.refused) == ({}, {})
    assert versions_of(short) == versions_of(changes)


def test_what_is_ignored_is_ignored_also_when_it_comes_twice() -> None:
    values: list[bytes | None] = [upsert(number % 18) for number in range(36)]
    short = UpsertDecoder("scores").decode(values)
    assert short is not None
    plan = plan_upserts(short, places(10), LAYOUT, wanted=[str(UUID(int=1_000_001))])
    assert {at % 18 for at, outcome in enumerate(plan.outcomes) if outcome == "ignored"} == set(range(9))
    assert [plan.outcomes[9], plan.outcomes[27]] == ["superseded", "written"]
    assert plan.writes.rows == 9


@pytest.mark.parametrize(
    "odd",
    [
        envelope("scorecards", "d", card(3), None),
        envelope("scorecards", "u", None, card(3)),
        envelope("scorecards", "u", card(3, customer_id=""), card(3)),
        envelope("scorecards", "u", card(3, customer_id="other"), card(3)),
        envelope("scorecards", "u", card(3, scorecard_type=1), card(3)),
        envelope("scorecards", "u", card(3), card(3, scorecard_type=1)),
        envelope("scorecards", "u", card(3, conversation_id=None), card(3)),
        envelope("scorecards", "u", card(4, scorecard_time="2026-01-01T00:00:00Z"), card(4)),
        card_upsert(3, scorecard_type=7),
        card_upsert(3, scorecard_id="no uuid"),
        card_upsert(3, conversation_id="no uuid"),
        card_upsert(3, comment=UNAVAILABLE),
    ],
)
def test_what_needs_a_decision_sends_a_whole_batch_of_scorecards_the_long_way(odd: bytes) -> None:
    plain: list[bytes | None] = [card_upsert(number) for number in range(10, 1_300)]
    assert UpsertDecoder("scorecards").decode(plain) is not None
    assert UpsertDecoder("scorecards").decode([*plain, odd]) is None


def test_scores_of_other_scorecards_than_the_wanted_ones_are_ignored() -> None:
    values: list[bytes | None] = [upsert(number) for number in range(90)]
    short = UpsertDecoder("scores").decode(values)
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
        envelope("scores", "c", None, score(3), sequence=None),
        envelope("scores", "c", None, score(3), sequence=(None, 2**56)),
    ],
    ids=lambda value: "tombstone" if value is None else None,
)
def test_what_needs_a_decision_sends_the_whole_batch_the_long_way(odd: bytes | None) -> None:
    plain: list[bytes | None] = [upsert(number) for number in range(10, 1_300)]
    assert UpsertDecoder("scores").decode(plain) is not None
    assert UpsertDecoder("scores").decode([*plain, odd]) is None
