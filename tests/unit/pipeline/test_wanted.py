"""A replay's filter over a batch: the changes of other scorecards leave no trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.ledger import Outcome
from stream.pipeline.plan import Plan
from stream.pipeline.wanted import plan_wanted, wanted_part
from tests.fakes import envelope
from tests.fakes.rows import row_of

OWN, OTHER, SCORE_ID = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")


def change(op: str, before: str | None, after: str | None) -> Any:
    images = [row_of("scores", SCORE_ID, scorecard_id=card) if card else None for card in (before, after)]
    return Decoder("scores").decode([envelope("scores", op, *images)])[0]


def test_a_score_that_arrives_comes_without_the_scorecard_that_it_leaves() -> None:
    part = wanted_part(change("u", OTHER, OWN), {OWN})
    assert part is not None
    assert (part.op, part.before.scorecard_id, part.after.scorecard_id) == ("u", OWN, OWN)


def test_a_score_that_leaves_is_deleted() -> None:
    part = wanted_part(change("u", OWN, OTHER), {OWN})
    assert part is not None
    assert (part.op, part.before.scorecard_id, part.after) == ("d", OWN, None)


def test_a_change_between_other_scorecards_is_nothing() -> None:
    assert wanted_part(change("u", OTHER, OTHER), {OWN}) is None
    assert wanted_part(change("d", OTHER, None), {OWN}) is None
    assert wanted_part(change("c", None, OTHER), {OWN}) is None


def test_outcomes_and_refusals_stay_with_their_messages() -> None:
    # given a planner that refuses the second of the changes that it sees
    def planner(changes: Sequence[Envelope]) -> Plan:
        assert [each.after.scorecard_id for each in changes] == [OWN, OWN]
        return Plan(outcomes=[Outcome.WRITTEN, None], refused={1: "why"})  # type: ignore[dict-item]

    # when one change of another scorecard stands between the two
    found = plan_wanted(planner, [change("c", None, OWN), change("c", None, OTHER), change("c", None, OWN)], {OWN})
    # then the third message is the refused one
    assert found.outcomes == [Outcome.WRITTEN, Outcome.IGNORED, None]
    assert found.refused == {2: "why"}
