"""Messages that are older than one before them in their partition: known as such, and nothing of them is written."""

from __future__ import annotations

import pytest

from stream.epochs import ONE_EPOCH
from stream.kafka.reached import highest
from stream.pipeline.late import Newest, late, late_of
from stream.tables import SCORE
from tests.unit.pipeline.bench import CARD, NEW, SCORES, Bench

WHERE = ("t.app.scores", 0)


@pytest.mark.parametrize(
    ("versions", "floor", "found", "reached"),
    [
        ([], 5, [], 5),
        ([5, 5, 8], 5, [], 8),
        ([4, 8], 5, [0], 8),
        ([5, 9, 0, 8, 9, 10], 0, [3], 10),
        ([0, 0], 5, [], 5),
    ],
    ids=["none", "in order", "older than what was before", "older than one of the batch", "without an order"],
)
def test_late_is_what_is_older_than_one_before_it(
    versions: list[int], floor: int, found: list[int], reached: int
) -> None:
    assert late(versions, floor) == (found, reached)


def test_only_what_lies_before_a_stretch_counts() -> None:
    # given stretches of a log that were processed in another order than they are in
    newest = Newest()
    newest.note(WHERE, 300, 30)
    newest.note(WHERE, 100, 10)
    # then what lies behind a stretch does not make it late
    assert [newest.before(WHERE, at) for at in (99, 100, 299, 300)] == [0, 10, 10, 30]
    assert newest.before(("other", 0), 300) == 0
    # and a partition that is taken over begins with what its predecessor left
    newest.start(WHERE, 200, 20)
    assert [newest.before(WHERE, at) for at in (199, 200, 300)] == [0, 20, 20]


def test_what_is_kept_is_bounded_and_the_highest_stays() -> None:
    newest = Newest()
    newest.note(WHERE, 0, 1_000)
    for end in range(1, 500):
        newest.note(WHERE, end, end)
    assert newest.before(WHERE, 499) == 1_000
    assert len(newest._reached[WHERE]) < 100


def test_parts_of_one_partition_follow_each_other() -> None:
    parts = [(WHERE, 0, [5, 6]), (("other", 0), 0, [1]), (WHERE, 2, [4, 7])]
    assert late_of(parts, Newest()) == ({3}, {WHERE: 7, ("other", 0): 1})


def _deleted_and_moved_on(bench: Bench) -> None:
    """A score of its own transaction is deleted, and then its scorecard moves."""
    bench.postgres.insert("scores", NEW, scorecard_id=CARD, comment="once")
    bench.live()
    bench.postgres.delete("scores", NEW)
    bench.live()
    bench.moves()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_copy_of_the_create_of_a_deleted_score_does_not_revive_it(bench: Bench, restarted: bool) -> None:
    # given a score that is deleted, whose scorecard is in another month since: no marker stands there
    _deleted_and_moved_on(bench)
    # when its create comes again, to the same worker or to one that took over at the committed offset
    bench.debezium.repeat(1)
    if restarted:
        where, at = ("t.app.scores", 0), bench.offsets["scores"]
        bench.newest.start(where, at, bench.newest.before(where, at))
    done = bench.process(bench.batch("scores"))
    # then it is known to be late, and nothing is shown of it
    assert done.late == 1
    bench.check()


def test_a_copy_right_behind_a_rewind_is_known_by_the_messages_before_it(bench: Bench) -> None:
    # given a copy that is the first message which is read; a rewind and a replay look at the messages before it
    _deleted_and_moved_on(bench)
    at = bench.offsets["scores"]
    before = [message.value for message in bench.log.partitions["scores", 0][:at]]
    bench.debezium.repeat(1)
    bench.newest.start(WHERE, at, highest(before, ONE_EPOCH))
    # when it is processed, then nothing of it is written
    assert bench.process(bench.batch("scores")).late == 1
    bench.check()


def test_a_copy_that_is_the_first_message_of_the_log_is_not_known(bench: Bench) -> None:
    # given a copy before which compaction has removed all messages
    _deleted_and_moved_on(bench)
    bench.debezium.repeat(1)
    bench.newest.start(WHERE, bench.offsets["scores"], 0)
    done = bench.process(bench.batch("scores"))
    # then it is written (docs/decisions/035, what is left), until its scorecard is reindexed
    assert done.late == 0
    assert len(bench.target.visible(SCORE)) == len(SCORES) + 1
    bench.becomes_appeal()
    bench.postgres.update("scorecards", CARD, scorecard_type=None)
    bench.check()
    # and a copy behind a newer message is known
    bench.postgres.update("scores", SCORES[0], comment="newer")
    bench.live("scores")
    bench.debezium.repeat(1)
    assert bench.process(bench.batch("scores")).late == 1
    bench.check()


def test_a_copy_is_known_while_the_batch_before_it_is_under_way(bench: Bench) -> None:
    # given a score that is created and deleted, and a copy of its create in the batch behind
    bench.postgres.insert("scores", NEW, scorecard_id=CARD, comment="once")
    bench.postgres.delete("scores", NEW)
    first = bench.batch("scores")
    bench.debezium.repeat(1)
    second = bench.batch("scores")
    # when another thread of a replay processes the copy before the first batch is done
    late: list[int] = []
    bench.on("places", lambda: late.append(bench.process(second).late))
    bench.process(first)
    # then it is known to be late
    assert late == [1]
    bench.check()


def test_what_comes_in_order_asks_for_nothing_more(bench: Bench) -> None:
    # given scores in order, sent in several batches
    for number in range(3):
        bench.postgres.update("scores", SCORES[0], comment=f"{number}")
    asked = dict(bench.postgres.calls)
    done = bench.process(bench.batch("scores"))
    # then a batch costs one look-up and one confirm, and no scorecard is read whole
    assert (done.late, done.reindexed) == (0, 0)
    assert {name: bench.postgres.calls[name] - asked.get(name, 0) for name in bench.postgres.calls} == {
        "expect": 1, "places": 2, "position": 1, "snapshot": 0,
    }  # fmt: skip
