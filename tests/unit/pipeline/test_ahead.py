"""Messages that are newer than Postgres' WAL: not written at their own version, and nothing behind them is late."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stream.epochs import Epochs
from stream.pipeline.ahead import FAR_BYTES, Ceiling, highest
from stream.pipeline.ledger import Done
from stream.pipeline.ordering import LSN_MAX, version
from tests.fakes import envelope
from tests.unit.pipeline.bench import CARD, SCORES, Bench

FAR = (LSN_MAX, LSN_MAX)


def test_postgres_is_asked_only_for_what_it_has_not_told() -> None:
    # given a WAL that grows
    asked: list[int] = []

    def position() -> int:
        asked.append(100 * (len(asked) + 1))
        return asked[-1]

    ceiling = Ceiling(position, epochs=Epochs(first=2))
    # when versions up to its end are compared, then it is asked once
    assert ceiling.above(version('["90","80"]', epoch=2)) == highest(2, 100)
    assert ceiling.above(version('["100","100"]', epoch=2)) == highest(2, 100)
    assert asked == [100]
    # and again for a later one, also for one of an epoch that has not begun
    assert ceiling.above(version('["101","80"]', epoch=2)) == highest(2, 200)
    assert ceiling.above(version('["5","5"]', epoch=3)) == highest(2, 300)


def test_the_ceiling_is_above_every_change_of_the_wal_and_below_the_next() -> None:
    assert version('["100","100"]', epoch=1) < highest(1, 100) < version('["101","0"]', epoch=1)


def _forged(bench: Bench, sequence: tuple[int, int] = FAR, **values: Any) -> Done:
    """A message of the first score, as another producer might write it."""
    row = bench.postgres.rows["scores"][SCORES[0]] | values
    key = b'{"scorecard_id": "%s", "score_id": "%s"}' % (CARD.encode(), SCORES[0].encode())
    bench.log.append("scores", CARD, key, envelope("scores", "u", row, row, sequence=sequence))
    return bench.process(bench.batch("scores"))


@pytest.mark.parametrize("beyond", [1_000, LSN_MAX // 2], ids=["just ahead", "far ahead"])
@pytest.mark.parametrize("values", [{}, {"numeric_value": "no number"}], ids=["well-formed", "refused"])
def test_what_comes_behind_a_message_that_is_ahead_is_in_order(
    bench: Bench, values: dict[str, Any], beyond: int
) -> None:
    # given a message with an LSN that Postgres has not reached
    at = bench.postgres.lsn + beyond
    assert _forged(bench, (at, at), **values).ahead == 1
    # when changes come behind it
    bench.postgres.update("scores", SCORES[1], comment="behind")
    done = bench.process(bench.batch("scores"))
    # then they are in order
    assert (done.late, done.ahead, done.reindexed) == (0, 0, 0)


@pytest.mark.parametrize("beyond", [1, LSN_MAX // 2], ids=["just ahead", "far ahead"])
def test_the_row_of_a_message_that_is_ahead_is_written_as_postgres_has_it(bench: Bench, beyond: int) -> None:
    # given a message with a content and an LSN that Postgres never had
    at = bench.postgres.lsn + beyond
    done = _forged(bench, (at, at), comment="forged")
    # then it counts as superseded, and readers see what Postgres has
    assert done.ledger.totals() == {"superseded": 1}
    bench.check()
    # and the next change of the row wins
    bench.postgres.update("scores", SCORES[0], comment="later")
    bench.check()


def test_a_partition_that_has_reached_what_no_change_can_have_is_begun_afresh(bench: Bench) -> None:
    # given an offset that was committed with such a version by an earlier release
    where, at = ("t.app.scores", 0), bench.offsets["scores"]
    bench.newest.start(where, at, highest(0, bench.postgres.lsn + 2 * FAR_BYTES))
    bench.postgres.update("scores", SCORES[0], comment="next")
    # then the next change is in order, and the version is not committed again
    assert bench.process(bench.batch("scores")).late == 0
    assert bench.newest.before(where, bench.offsets["scores"]) <= highest(0, bench.postgres.lsn)


def test_what_a_fail_over_lost_keeps_the_changes_behind_it_late(bench: Bench) -> None:
    # given a partition that has reached a little more than the promoted server has
    where, at = ("t.app.scores", 0), bench.offsets["scores"]
    bench.newest.start(where, at, highest(0, bench.postgres.lsn + 1_000_000))
    bench.postgres.update("scores", SCORES[0], comment="next")
    # then its changes are late, because rows of the lost ones may stand
    assert bench.process(bench.batch("scores")).late == 1
    bench.check()


def test_the_log_names_the_first_message_that_is_ahead(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _forged(bench)
    told = [vars(record) for record in caplog.records if "newer than Postgres' WAL" in record.getMessage()]
    offset = bench.offsets["scores"] - 1
    assert [(each["topic"], each["partition"], each["offset"], each["messages"]) for each in told] == [
        ("t.app.scores", 0, offset, 1)
    ]
