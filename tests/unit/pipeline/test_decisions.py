"""Batches of scores of which one needs a decision of its own."""

import json
from uuid import UUID

import pytest

from stream.pipeline import decoder
from stream.pipeline.decisions import plan_scores
from stream.pipeline.ledger import Outcome
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.writes import Layout

DAY_US = 86_400_000_000


def uuid(number):
    return str(UUID(int=number))


CARDS = {
    uuid(1): Place(State.VISIBLE, "acme", 3 * DAY_US, False),
    uuid(2): Place(State.VISIBLE, "propel", 4 * DAY_US, True),  # on the other shard
    uuid(3): Place(State.APPEAL, "acme", 3 * DAY_US, False),
    uuid(4): Place(State.WAITING, "acme"),
    uuid(5): GONE,
}


def score(number, card, *, op="c", before=None, **after):
    row = {
        "score_id": uuid(100 + number), "scorecard_id": card, "criterion_id": uuid(9), "numeric_value": number / 2,
        "ai_value": None, "not_applicable": False, "comment": "c", "updated_at": "2026-01-05T10:11:12.123456Z",
    }  # fmt: skip
    source = {"table": "scores", "ts_ms": 1, "sequence": json.dumps(["10", str(number)]), "snapshot": "false"}
    return json.dumps({"op": op, "before": before, "after": row | after, "source": source}).encode()


def planned(*values):
    places = {card: place for card, place in CARDS.items() if place is not GONE}
    plan = plan_scores(decoder.Decoder("scores").decode(values), places, Layout(2, 1))
    return plan, {(shard, table.target): columns for shard, table, columns in plan.writes}


@pytest.mark.parametrize(
    ("odd", "outcome"),
    [
        pytest.param(score(1, uuid(2)), Outcome.SUPERSEDED, id="the same score again, older"),
        pytest.param(score(90, uuid(1), comment="__debezium_unavailable_value"), Outcome.WRITTEN, id="TOAST"),
        pytest.param(
            score(91, uuid(1), op="u", before={"scorecard_id": uuid(2), "score_id": uuid(191)}),
            Outcome.WRITTEN,
            id="moved",
        ),
    ],
)
def test_one_odd_score_has_all_decided_one_by_one(odd, outcome):
    plan, rows = planned(odd, *(score(n, uuid(2)) for n in range(2, 5)), score(2, uuid(2), score_id=uuid(101)))
    assert plan.outcomes[0] is outcome
    if b"unavailable" in odd:
        assert plan.reindex == {uuid(1): 10 << 56 | 90}
    elif outcome is Outcome.WRITTEN:
        assert rows[0, "score"][-1].count(1) == 1  # the marker where it was
