"""Commits that become visible in another order than the WAL's: what a reindex in between leaves, and for how long.

docs/decisions/042-visible-in-another-order.md describes this bound.
"""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest

from stream.tables import CHATS, SCORE, SCORECARD
from tests.fakes import Transaction
from tests.model import Faults, Violation, World
from tests.unit.pipeline.bench import CARD, CHAT, FEBRUARY, JANUARY, SCORES, Bench


def _comments(bench: Bench) -> list[Any]:
    at = list(SCORE.insert_columns).index("comment")
    return sorted(row[at] for row in bench.target.visible(SCORE))


def _overtaken(bench: Bench) -> Transaction:
    """A change of a score is in the WAL, and hidden. A later change of its scorecard's place is seen and indexed."""
    earlier = bench.postgres.begin()
    earlier.update("scores", SCORES[0], comment="second")
    earlier.flush()
    with bench.postgres.begin() as later:
        later.update("scorecards", CARD, scorecard_time=FEBRUARY)
    bench.live("scorecards")
    return earlier


def test_a_reindex_in_between_hides_the_earlier_change_until_the_next_one(bench: Bench) -> None:
    # given a reindex that could not see the earlier commit, and wrote the score at the later one's version
    earlier = _overtaken(bench)
    # when the earlier commit is visible, and its message is processed
    earlier.commit()
    bench.live("scores")
    # then the score is stale: its own version is lower
    assert _comments(bench) == ["first", "first"]
    # and the next change of the score ends it
    bench.postgres.update("scores", SCORES[0], numeric_value=2.0)
    bench.check()
    assert _comments(bench) == ["first", "second"]


def test_the_next_reindex_of_the_scorecard_ends_it(bench: Bench) -> None:
    # given a stale score
    _overtaken(bench).commit()
    bench.live("scores")
    # when anything reindexes the scorecard: another change of place, or a repair
    bench.becomes_appeal()
    bench.postgres.update("scorecards", CARD, scorecard_type=None)
    # then all is right
    bench.check()


def test_a_score_that_is_deleted_first_stays_until_the_next_reindex(bench: Bench) -> None:
    # given a delete that is in the WAL and hidden, while a later change of place is indexed
    earlier = bench.postgres.begin()
    earlier.delete("scores", SCORES[0])
    earlier.flush()
    with bench.postgres.begin() as later:
        later.update("scorecards", CARD, scorecard_time=FEBRUARY)
    bench.live("scorecards")
    # when its message is processed, then its marker loses against the row of the later version
    earlier.commit()
    bench.live("scores")
    assert len(bench.target.visible(SCORE)) == 2
    # and the next reindex retires the row
    bench.postgres.update("scorecards", CARD, scorecard_time=JANUARY)
    bench.live("scorecards")
    bench.check()


def _appeal_is_overtaken(bench: Bench, **becomes: Any) -> None:
    """A change of a scorecard is in the WAL, and hidden. Its conversation's later move is seen and indexed."""
    bench.gets_a_conversation()
    earlier = bench.postgres.begin()
    if becomes:
        earlier.update("scorecards", CARD, **becomes)
    else:
        earlier.delete("scorecards", CARD)
    earlier.flush()
    bench.postgres.update(CHATS, CHAT, started_at=JANUARY)
    bench.live(CHATS)
    earlier.commit()
    bench.live("scorecards")


@pytest.mark.parametrize(
    "becomes",
    [{"scorecard_type": 2}, {"customer_id": "globex"}, {"conversation_id": None, "scorecard_time": FEBRUARY}, {}],
    ids=["appeal", "another customer's", "process scorecard", "deleted"],
)
def test_a_change_of_place_that_is_overtaken_still_applies(bench: Bench, becomes: dict[str, Any]) -> None:
    _appeal_is_overtaken(bench, **becomes)
    # then no row stands where it was
    bench.check()


def test_on_a_standby_a_row_of_a_higher_version_is_left_to_its_message(bench: Bench) -> None:
    # given look-ups on a standby, which may lack what another worker has seen
    bench.postgres.standby = True
    _appeal_is_overtaken(bench, scorecard_type=2)
    # then the rows of the higher version stay, as they would stay if the standby lacked a later change
    assert bench.target.visible(SCORE)


def test_without_a_reindex_in_between_the_order_does_not_matter(bench: Bench) -> None:
    # given a later change of the scorecard that keeps its place: it is written from its message
    earlier = bench.postgres.begin()
    earlier.update("scores", SCORES[0], comment="second")
    earlier.flush()
    bench.postgres.update("scorecards", CARD, comment="other")
    bench.live("scorecards")
    # when the earlier commit is visible, then nothing is stale
    earlier.commit()
    bench.check()


_CALM = Faults(
    rounds=2, steps=60, rows=1, places=3, workers=1, initial=False, incremental=False, toast=False, errors=False,
    crashes=False, pauses=False, replay=False, refused=False, under_way=False, resend=False, hidden=True,
    overtakes=True, identity=False,
)  # fmt: skip


class Places(World):
    """Compares at the end only where rows stand."""

    def _check_end(self) -> None:
        places = {row[:3] for row in self.postgres.expected(SCORECARD)}
        if {row[:3] for row in self.target.visible(SCORECARD)} != places:
            raise Violation("a scorecard stands where it does not belong")
        if not {row[:3] for row in self.target.visible(SCORE)} <= places:
            raise Violation("a score stands where its scorecard does not")


def test_in_random_histories_no_appeal_shows_and_every_row_is_in_its_place() -> None:
    logging.disable()
    try:
        for seed in range(100):
            Places(random.Random(seed), _CALM).run()
    finally:
        logging.disable(logging.NOTSET)
