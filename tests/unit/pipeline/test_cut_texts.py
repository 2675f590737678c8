"""A text that the connector may have cut is never written: its scorecard is read from Postgres."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from stream.errors import Refused
from stream.pipeline.cut_texts import may_be_cut, without_half
from stream.pipeline.decisions import plan_scorecards, plan_scores
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.ledger import Outcome
from stream.pipeline.ordering import version
from stream.pipeline.placement import Place, State
from stream.pipeline.refusal import refusal_of
from stream.pipeline.upserts import UpsertDecoder
from stream.pipeline.values import UNAVAILABLE
from stream.pipeline.writes import Layout
from stream.tables import TEXT_UNITS
from tests.fakes import envelope

CARD = str(UUID(int=1))
SEQUENCE = (10, 11)
AT = version('["10","11"]')
CUT = "x" * TEXT_UNITS
WHOLE = "x" * (TEXT_UNITS - 1)
ASTRAL = "\N{GRINNING FACE}"  # two UTF-16 units
PLACES = {CARD: Place(State.VISIBLE, "spirit", 1_767_225_600_000_000, False)}


def score(**values: Any) -> dict[str, Any]:
    row = {
        "score_id": str(UUID(int=2)), "scorecard_id": CARD, "criterion_id": str(UUID(int=3)), "numeric_value": 1.0,
        "ai_value": None, "not_applicable": False, "comment": "c", "updated_at": "2026-03-01T10:00:00Z",
    }  # fmt: skip
    return row | values


def card(**values: Any) -> dict[str, Any]:
    row = {
        "scorecard_id": CARD, "customer_id": "spirit", "scorecard_type": None, "template_id": str(UUID(int=3)),
        "conversation_id": None, "agent_user_id": None, "submission_source": None, "scorecard_time": None,
        "submitted_at": None, "score": 1.0, "comment": "c", "created_at": "2026-03-01T10:00:00Z",
        "updated_at": "2026-03-01T10:00:00Z",
    }  # fmt: skip
    return row | values


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", False),
        (WHOLE, False),
        (CUT, True),
        (CUT + "x", True),
        (ASTRAL * (TEXT_UNITS // 2), True),
        (ASTRAL * (TEXT_UNITS // 2 - 1) + "x", False),
        (ASTRAL * (TEXT_UNITS // 2 - 1) + "x\ud83d", True),
        ("é" * (TEXT_UNITS // 2), False),
    ],
    ids=["empty", "one less", "cut", "longer", "pairs", "pairs, one less", "half a pair", "two bytes each"],
)
def test_a_text_is_measured_as_java_does(text: str, cut: bool) -> None:
    assert may_be_cut(text) is cut


@pytest.mark.parametrize("row", [{"before": None, "op": "c"}, {"before": {"comment": CUT}, "op": "u"}])
@pytest.mark.parametrize(("table", "plan"), [("scores", plan_scores), ("scorecards", plan_scorecards)])
def test_a_cut_text_is_read_from_postgres_at_the_version_of_its_message(table: str, plan: Any, row: Any) -> None:
    whole = score if table == "scores" else card
    before = None if row["before"] is None else whole(**row["before"])
    value = envelope(table, row["op"], before, whole(comment=CUT), sequence=SEQUENCE)

    assert UpsertDecoder(table).decode([value]) is None, "the short way writes what the message has"
    made = plan(Decoder(table).decode([value]), PLACES, Layout(2, 1))

    assert made.outcomes == [Outcome.WRITTEN]
    assert made.reindex == {CARD: AT}
    assert not made.writes.rows
    assert made.customers == {"spirit"}


def test_the_longest_text_that_is_surely_whole_is_written_from_the_message() -> None:
    value = envelope("scores", "u", score(comment=WHOLE), score(comment=WHOLE), sequence=SEQUENCE)
    assert len(value) > TEXT_UNITS

    short = UpsertDecoder("scores").decode([value])

    assert short is not None
    assert short.columns[5] == [WHOLE]


def test_a_cut_before_image_fills_no_placeholder() -> None:
    value = envelope("scores", "u", score(comment=CUT), score(comment=UNAVAILABLE), sequence=SEQUENCE)

    plan = plan_scores(Decoder("scores").decode([value]), PLACES, Layout(2, 1))

    assert plan.reindex == {CARD: AT}


@pytest.mark.parametrize("escape", [rb"\ud83d", rb"\uDBFF", rb"\\\ud83d"], ids=["lower", "upper", "after a backslash"])
def test_half_of_a_pair_at_the_cut_refuses_no_message(escape: bytes) -> None:
    text = "x" * (TEXT_UNITS - 1)
    value = envelope("scores", "c", None, score(comment=text), sequence=SEQUENCE)
    value = value.replace(text.encode(), text.encode() + escape)

    (change,) = Decoder("scores").decode([value])

    assert isinstance(change, Envelope)
    assert may_be_cut(change.after.comment)
    plan = plan_scores([change], PLACES, Layout(2, 1))
    assert plan.reindex == {CARD: AT}


def test_only_half_a_pair_at_the_end_of_a_text_is_replaced() -> None:
    filler = b"x" * TEXT_UNITS
    for text in (rb'"\\ud83d"', rb'"\ud83d\ude00"', rb'"\ud83d x"', rb'"\ude00"'):
        assert without_half(filler + text) == filler + text
    assert without_half(filler + rb'"\ud83d"') == filler + rb'"\ufffd"'
    assert without_half(rb'"\ud83d"') == rb'"\ud83d"', "a message without a cut text is left as it is"


@pytest.mark.parametrize("table", ["scorecards", "chats"])
def test_a_customer_that_may_be_cut_is_refused_by_name(table: str) -> None:
    chat = {"conversation_id": CARD, "customer_id": CUT, "started_at": None}
    row = card(customer_id=CUT) if table == "scorecards" else chat
    value = envelope(table, "u", row | {"customer_id": "spirit"}, row)

    (refused,) = Decoder(table).decode([value])

    assert isinstance(refused, Refused)
    assert refused.reason == "long_customer"
    if table == "scorecards":
        assert UpsertDecoder(table).decode([value]) is None


def test_the_customer_before_a_move_is_unknown_when_it_may_be_cut() -> None:
    value = envelope("scorecards", "u", card(customer_id=CUT), card())

    (refused,) = Decoder("scorecards").decode([value])
    assert isinstance(refused, Refused)
    refusal = refusal_of("scorecards", msgspec.json.encode({"scorecard_id": CARD}), value, refused)

    assert refusal.ids == [CARD]
    assert refusal.anywhere
