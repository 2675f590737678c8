"""What may happen between two steps of a batch, each forced: nothing is left where it does not belong."""

from __future__ import annotations

import pytest

from stream.errors import ClickHouseUnavailable
from stream.pipeline.ledger import Outcome
from stream.pipeline.writes import Writes
from stream.tables import CHATS, SCORE, SCORECARD
from tests.fakes import FakeFetched
from tests.unit.pipeline.bench import CARD, CHAT, FEBRUARY, GRADED, JANUARY, NEW, SCORES, Bench, Killed

CHANGES = ["moves", "becomes_appeal", "is_deleted", "changes_customer", "gets_a_conversation"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("call", "nth"),
    [("places", 1), ("write", 1), ("places", 2)],
    ids=["before the look-up", "between look-up and insert", "between insert and confirm"],
)
def test_a_score_is_written_while_its_scorecard_changes_its_place(
    bench: Bench, change: str, call: str, nth: int
) -> None:
    # Given a new score in flight: no delete marker of a higher version stands where it may be written too late
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    batch = bench.batch("scores")
    # When the change is committed, and indexed by others, in the middle of it
    bench.on(call, getattr(bench, change), nth=nth)
    bench.process(batch)
    # Then nothing of it stands anywhere else
    bench.check()


@pytest.mark.parametrize("change", CHANGES)
def test_an_update_of_a_scorecard_crosses_its_change_of_place(bench: Bench, change: str) -> None:
    bench.postgres.update("scorecards", CARD, comment="second")
    batch = bench.batch("scorecards")
    bench.on("write", getattr(bench, change))
    bench.process(batch)
    bench.check()


def test_the_place_changes_twice_while_a_batch_settles(bench: Bench) -> None:
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    batch = bench.batch("scores")
    bench.on("write", bench.moves)
    bench.on("places", bench.changes_customer, nth=4)  # while what moved is reindexed
    done = bench.process(batch)
    assert done.moved >= 1
    bench.check()


@pytest.mark.parametrize("change", CHANGES)
def test_a_worker_sleeps_and_its_partitions_go_on_without_it(bench: Bench, change: str) -> None:
    # Given a worker that sleeps just before its insert; the next owner processes the same messages, and all that follow
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    batch = bench.batch("scores")

    def meanwhile() -> None:
        bench.moves()  # so that the new owner writes it elsewhere
        bench.process(batch, again=True)
        bench.postgres.update("scores", NEW, comment="third")
        getattr(bench, change)()
        bench.live("scores")
        if change == "moves":
            # The score is deleted in February, and the scorecard is back in January when the worker wakes.
            bench.postgres.delete("scores", NEW)
            bench.live("scores")
            bench.postgres.update("scorecards", CARD, scorecard_time=JANUARY)
            bench.live("scorecards")

    bench.on("write", meanwhile)
    # When it wakes and finishes
    bench.process(batch, mine=False)
    # Then it has cleaned up behind itself
    bench.check()


@pytest.mark.parametrize("change", CHANGES)
def test_a_worker_dies_between_insert_and_confirm(bench: Bench, change: str) -> None:
    # Given a worker whose agent of scorecards indexed a change of place while its agent of scores was about to insert
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    batch = bench.batch("scores")

    def die() -> None:
        raise Killed

    def meanwhile() -> None:
        getattr(bench, change)()
        bench.on("places", die)  # the look-up of its confirm

    bench.on("write", meanwhile)
    with pytest.raises(Killed):
        bench.process(batch)
    # When another one takes the messages over
    bench.process(batch, again=True)
    # Then what the dead one left in the old place is gone
    bench.check()


@pytest.mark.parametrize("change", ["another conversation", "no conversation", "a score deleted too", "deleted"])
@pytest.mark.parametrize("inserts", [1, 2], ids=["amid its inserts", "before its confirm"])
def test_a_worker_dies_after_it_wrote_a_scorecard_that_has_left_its_conversation(
    bench: Bench, change: str, inserts: int
) -> None:
    # Given a scorecard that waits for its conversation, which comes
    other = "c1000000-0000-4000-8000-000000000000"
    bench.postgres.insert(CHATS, other, started_at=FEBRUARY)
    bench.postgres.update("scorecards", CARD, conversation_id=CHAT)
    bench.live()
    bench.postgres.insert(CHATS, CHAT, started_at=JANUARY)
    batch = bench.batch(CHATS)

    def die() -> None:
        raise Killed

    def meanwhile() -> None:
        # It leaves the conversation, and that is indexed, while the conversation's worker is about to insert it
        if change == "deleted":
            bench.postgres.delete("scorecards", CARD)
        else:
            bench.postgres.update("scorecards", CARD, conversation_id=None if change == "no conversation" else other)
        if change == "a score deleted too":
            bench.postgres.delete("scores", SCORES[0])
        bench.live("scorecards", "scores")
        if inserts == 1:
            bench.on("write", die)
        else:
            bench.on("places", die)

    bench.on("write", meanwhile)
    with pytest.raises(Killed):
        bench.process(batch)
    # When another one takes the messages over, which do not name the scorecard any more
    bench.process(batch, again=True)
    # Then what the dead one left is gone
    bench.check()


def test_a_crash_between_two_inserts_of_a_write_is_mended(bench: Bench) -> None:
    bench.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY, comment="second")
    batch = bench.batch("scorecards")

    def die() -> None:
        raise Killed

    bench.on("write", die, nth=2)
    with pytest.raises(Killed):
        bench.process(batch)
    bench.process(batch, again=True)
    bench.check()


def test_an_insert_that_failed_after_it_was_stored_is_repeated_without_harm(bench: Bench) -> None:
    bench.postgres.update("scorecards", CARD, comment="second")

    def fail() -> None:
        raise ClickHouseUnavailable("too many parts")

    bench.on("write", fail)
    bench.live("scorecards")
    bench.check()


def test_everything_processed_twice_in_any_order_changes_nothing(bench: Bench) -> None:
    bench.moves()
    bench.becomes_appeal()
    bench.postgres.update("scorecards", CARD, scorecard_type=None)
    bench.postgres.delete("scores", SCORES[1])
    bench.check()
    for table in ("scores", CHATS, "scorecards"):
        for message in reversed(bench.log.partitions[table, 0]):
            bench.process(FakeFetched([message], table))
    # Deletes and changes of place once more: a replay's tail pass.
    for table in ("scorecards", "scores"):
        bench.process(bench.log.batch(table))
    bench.check()


def test_a_replay_without_its_tail_pass_would_leave_a_ghost(bench: Bench) -> None:
    # Given a replay that is about to write an old update of a score ...
    bench.postgres.update("scores", SCORES[0], comment="second")
    old = bench.batch("scores")
    bench.process(old)
    # ... which is deleted in January, before its scorecard moves to February
    bench.postgres.delete("scores", SCORES[0])
    deleted = bench.batch("scores")
    bench.process(deleted)
    bench.moves()
    # When the replay writes, the score is back
    bench.process(old)
    assert bench.target.visible(SCORE) != bench.postgres.expected(SCORE)
    # Then the delete, applied once more, hides it where it is now
    bench.process(deleted)
    bench.check()


def test_a_score_of_an_appeal_that_is_deleted_does_not_come_back_with_it(bench: Bench) -> None:
    bench.postgres.update("scores", SCORES[0], comment="second")
    late = bench.batch("scores")
    bench.becomes_appeal()
    bench.postgres.delete("scores", SCORES[0])
    done = bench.process(bench.batch("scores"))
    assert done.ledger.totals() == {Outcome.RETIRED: 1}
    bench.postgres.update("scorecards", CARD, scorecard_type=None)
    bench.live("scorecards")
    # An older message of it is processed last, by a replay.
    bench.process(late)
    bench.check()


def test_the_conversation_arrives_after_its_scorecard(bench: Bench) -> None:
    bench.postgres.update("scorecards", CARD, conversation_id=CHAT)
    bench.live()
    assert bench.target.visible(SCORECARD) == bench.target.visible(SCORE) == []
    bench.postgres.insert(CHATS, CHAT, started_at=FEBRUARY)
    bench.check()
    assert len(bench.target.visible(SCORE)) == 2
    bench.postgres.update(CHATS, CHAT, started_at=JANUARY)
    bench.check()
    bench.postgres.delete(CHATS, CHAT)
    bench.check()
    assert bench.target.visible(SCORE) == []


def test_what_was_written_after_a_conversation_is_left_to_its_own_messages(bench: Bench) -> None:
    # given a worker that was away while a conversation was had, and graded some time later
    bench.postgres.insert(CHATS, CHAT, started_at=FEBRUARY)
    bench.postgres.note_horizon()
    with bench.postgres.begin() as tx:
        tx.insert("scorecards", GRADED, conversation_id=CHAT)
        tx.insert("scores", NEW, scorecard_id=GRADED)
    before = bench.postgres.calls["snapshot"]
    # when it comes to the conversation before the rest
    done = bench.process(bench.batch(CHATS))
    # then it does nothing of what the rest does anyway
    assert (done.reindexed, bench.postgres.calls["snapshot"]) == (0, before)
    bench.check()
    assert len(bench.target.visible(SCORE)) == 3


@pytest.mark.parametrize("horizon", ["while none of them is", "while one of them is", "when both are"])
def test_the_conversation_began_before_its_scorecard_and_was_committed_after_it(bench: Bench, horizon: str) -> None:
    # given an open transaction with a conversation, and a later one that is committed and found it not
    tx = bench.postgres.begin()
    tx.insert(CHATS, CHAT, started_at=FEBRUARY)
    if horizon == "while none of them is":
        bench.postgres.note_horizon()
    with bench.postgres.begin() as later:
        later.update("scorecards", CARD, conversation_id=CHAT)
        for score_id in SCORES:
            later.update("scores", score_id, comment="second")
    bench.live()
    assert bench.target.visible(SCORE) == []
    if horizon == "while one of them is":
        bench.postgres.note_horizon()
    # when the conversation is committed, and processed
    tx.commit()
    if horizon == "when both are":
        bench.postgres.note_horizon()
    # then it brings its scorecard: the order of transactions' ids says nothing
    bench.check()
    assert len(bench.target.visible(SCORE)) == 2


def test_deleted_and_inserted_again_under_the_same_id(bench: Bench) -> None:
    bench.postgres.delete("scorecards", CARD)
    with bench.postgres.begin() as tx:
        tx.insert("scorecards", CARD, scorecard_time=FEBRUARY, customer_id="globex")
        tx.insert("scores", SCORES[0], scorecard_id=CARD)
    bench.check()
    assert len(bench.target.visible(SCORE)) == 1


@pytest.mark.parametrize("score_key", [("scorecard_id", "score_id"), ("score_id",)])
def test_a_score_moves_to_another_scorecard(bench: Bench, score_key: tuple[str, ...]) -> None:
    other = CARD[:-1] + "1"
    bench.debezium._keys["scores"] = score_key
    bench.postgres.insert("scorecards", other, scorecard_time=FEBRUARY, customer_id="globex")
    bench.postgres.update("scores", SCORES[0], scorecard_id=other)
    bench.check()


def test_a_score_moves_and_its_delete_is_read_after_its_create(bench: Bench) -> None:
    # With the scorecard in the key a move is a delete and a create of one version, in two partitions: any order
    other = CARD[:-1] + "1"
    bench.postgres.insert("scorecards", other, scorecard_time=FEBRUARY, customer_id="globex")
    bench.live()
    bench.postgres.update("scores", SCORES[0], scorecard_id=other)
    bench.debezium.stream()
    delete, create = bench.batch("scores").messages
    bench.process(FakeFetched([create, delete], "scores"))
    bench.check()


def test_a_worker_that_lags_writes_a_score_that_has_left_its_scorecard(bench: Bench) -> None:
    # Given a new score of a partition whose scores are read late, and that it moves to a scorecard of another partition
    other = CARD[:-1] + "1"
    bench.postgres.insert("scorecards", other, scorecard_time=FEBRUARY, customer_id="globex")
    bench.live()
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    late = bench.batch("scores")
    bench.postgres.update("scores", NEW, scorecard_id=other)
    moved = bench.batch("scores").messages
    of_other, of_this = [m for m in moved if m is moved[-1]], list(moved[:-1])
    # When the other partition is indexed first, then the scorecard moves, then what was late
    bench.process(FakeFetched(of_other, "scores"))
    bench.moves()
    bench.process(FakeFetched([*late.messages, *of_this], "scores"))
    # Then the delete in the late partition, which message.key.columns makes of the move, has hidden it
    bench.check()


OWN = ["moves", "becomes_appeal", "is_deleted", "changes_customer", "gets_a_conversation"]


@pytest.mark.parametrize("change", OWN)
@pytest.mark.parametrize("nth", [1, 2], ids=["before the insert", "before the confirm"])
def test_in_order_a_scorecards_own_change_is_left_to_its_own_message(bench: Bench, change: str, nth: int) -> None:
    # given a change of a scorecard in flight, and another of its row that is committed meanwhile and lies behind it
    bench.postgres.update("scorecards", CARD, comment="second")
    batch = bench.batch("scorecards")
    bench.on("write" if nth == 1 else "places", lambda: _only_commit(bench, change), nth=nth)
    # when the batch is processed by who processes that message afterwards
    done = bench.process(batch, in_order=True)
    # then no round of its own is spent on it, and in the end nothing stands elsewhere
    assert (done.moved, done.reindexed) == (0, 0)
    bench.check()


def test_also_in_order_a_conversations_change_is_settled_at_once(bench: Bench) -> None:
    # given a scorecard of a conversation, and a change of it in flight
    bench.gets_a_conversation()
    bench.postgres.update("scorecards", CARD, comment="second")
    batch = bench.batch("scorecards")
    # when the conversation's start is corrected, and that is indexed, before the row is written where it was
    bench.on("write", lambda: (bench.postgres.update(CHATS, CHAT, started_at=JANUARY), bench.live(CHATS)))
    done = bench.process(batch, in_order=True)
    # then it is settled: no later message of the scorecard will do it
    assert done.moved == 1
    bench.check()


def _only_commit(bench: Bench, change: str) -> None:
    """The change, without the live workers behind it."""
    live, bench.live = bench.live, lambda *_: None  # type: ignore[method-assign]
    try:
        getattr(bench, change)()
    finally:
        bench.live = live  # type: ignore[method-assign]


def test_an_insert_that_lands_after_its_timeout_does_not_undo_a_marker(bench: Bench) -> None:
    # given a score whose insert timed out and was sent again, and whose scorecard is an appeal by then
    bench.postgres.insert("scores", NEW, scorecard_id=CARD)
    batch = bench.batch("scores")
    sent: list[Writes] = []
    write = bench.target.write
    bench.target.write = lambda writes: (sent.append(writes), write(writes))  # type: ignore[assignment, func-returns-value]
    bench.on("places", lambda: _only_commit(bench, "becomes_appeal"), nth=2)
    # when the confirm has marked it, at the version of that insert, and the first insert is executed after all
    bench.process(batch)
    write(sent[0])
    # then it stays hidden
    assert bench.target.visible(SCORE) == []
    bench.check()
