"""A replay into the live tables meets messages of scores that are gone: no reader may see such a row at any time."""

from __future__ import annotations

import pytest

from stream.pipeline.late import Newest
from stream.pipeline.ledger import Outcome
from stream.tables import TARGETS
from tests.unit.pipeline.bench import CARD, NEW, SCORES, Bench


@pytest.mark.parametrize("neighbours", [0, 1], ids=["alone", "beside a score that stands"])
@pytest.mark.parametrize("logged", [True, False], ids=["its delete is in the log", "its delete was never logged"])
def test_a_score_that_is_gone_is_not_written_where_its_scorecard_went(logged: bool, neighbours: int) -> None:
    # given a score that was deleted, and its scorecard moved afterwards: no marker stands at the new place
    bench = Bench()
    bench.postgres.update("scores", SCORES[1], comment="changed")
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    bench.live()
    end = len(bench.log.partitions["scores", 0])
    bench.postgres.delete("scores", NEW)
    if logged:
        bench.live()
    bench.moves()
    # when a replay meets the message that once made it
    bench.newest = Newest()
    done = bench.process(bench.log.batch("scores", 0, end - 1 - neighbours, end), old=True)
    # then that one alone counts for nothing, no message is late, and readers see what Postgres has
    assert done.ledger.totals()[Outcome.SUPERSEDED] == 1
    assert done.late == 0
    for table in TARGETS:
        assert bench.target.visible(table) == bench.postgres.expected(table)


def test_live_does_not_ask() -> None:
    bench = Bench()
    bench.on("lacking", lambda: pytest.fail("Postgres was asked for each score"))
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    bench.check()
