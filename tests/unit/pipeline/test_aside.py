"""Large reindexes are left aside by a batch, and carried out later; what happens in between does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID

import pytest

from stream.pipeline import aside, reindexer
from stream.pipeline.aside import Aside, of_large_conversations, of_masses
from stream.pipeline.ledger import Counts, Done, Outcome
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.settle import Settler
from stream.pipeline.writes import Layout
from stream.tables import CHATS, SCORE, TARGETS
from tests.fakes import FakeFetched
from tests.fakes.debezium import INFINITY
from tests.unit.pipeline.bench import CARD, CHAT, FEBRUARY, JANUARY, NEW, SCORES, Bench, Killed

MARCH = FEBRUARY + 28 * 86_400_000_000
LAST = str(UUID(int=0x105))  # a score in the last of the scorecard's three pieces
WHEN = [None, *(("snapshot", nth) for nth in (1, 2, 3, 5)), *(("write", nth) for nth in range(1, 10))]
CARDS = [str(UUID(int=0xCA0 + number)) for number in range(4)]
LAYOUT = Layout(shards=2, bucket_days=1)


class Leaving(Bench):
    """A bench whose scorecard has too many rows for one look."""

    def leave(self, batch: FakeFetched, *, again: bool = False, mine: bool = True) -> Done:
        pipeline = Pipeline(
            batch.table,
            source=self.postgres,
            target=self.target,
            dead_letters=self.dead_letters,
            layout=LAYOUT,
            in_order=True,
            newest=self.newest,
        )
        return pipeline.process([batch], still_mine=lambda: mine, again=again, leaves=True)

    def finish(self, left: Aside, *, mine: bool = True) -> Counts:
        counts = Counts()
        settler = Settler(source=self.postgres, target=self.target, layout=LAYOUT)
        self.dead_letters.send(settler.finish(left, counts, still_mine=lambda: mine))
        return counts


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Leaving:
    monkeypatch.setattr(reindexer, "ROWS_AT_ONCE", 2)
    leaving = Leaving()
    leaving.postgres.insert("scores", LAST, scorecard_id=CARD)
    leaving.live()
    return leaving


def test_a_large_scorecard_is_left_aside_and_all_else_of_the_batch_is_written(leaving: Leaving) -> None:
    # given a large scorecard that moves, and a new small one in the same batch
    small = str(UUID(int=7))
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    leaving.postgres.insert("scorecards", small, scorecard_time=JANUARY)
    batch = leaving.batch("scorecards")
    # when it is processed, then the small one is there at once, and the large one where it was
    done = leaving.leave(batch)
    assert done.aside is not None
    assert list(done.aside.versions) == [CARD]
    assert done.ledger.totals() == {Outcome.WRITTEN: 2}
    assert {key.scorecard_id for key in leaving.target.states} == {UUID(CARD).int, 7}
    assert {key.event_time_us for key in leaving.target.states if key.scorecard_id != 7} == {JANUARY}
    # when it is carried out, then both stores are equal
    assert leaving.finish(done.aside).reindexed == 1
    leaving.check()


def test_a_caller_that_cannot_leave_anything_has_it_done_at_once(leaving: Leaving) -> None:
    leaving.moves()
    leaving.check()


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda b: b.postgres.update("scorecards", CARD, scorecard_time=MARCH),
        lambda b: b.postgres.update("scorecards", CARD, scorecard_time=JANUARY),
        lambda b: b.postgres.update("scorecards", CARD, scorecard_type=2),
        lambda b: b.postgres.update("scorecards", CARD, customer_id="globex"),
        lambda b: b.postgres.delete("scorecards", CARD),
        lambda b: b.postgres.delete("scores", SCORES[0]),
        lambda b: b.postgres.insert("scores", NEW, scorecard_id=CARD),
        lambda b: b.postgres.update("scores", SCORES[1], comment="later"),
    ],
    ids=["moves on", "moves back", "appeal", "customer", "deleted", "score deleted", "score added", "score updated"],
)
@pytest.mark.parametrize(
    "when", [None, *(("snapshot", nth) for nth in (1, 2, 3, 5)), *(("write", nth) for nth in range(1, 10))], ids=str
)
def test_what_is_committed_and_indexed_meanwhile_wins(
    leaving: Leaving, meanwhile: Callable[[Bench], object], when: tuple[str, int] | None
) -> None:
    # given a reindex that was left aside
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    done = leaving.leave(leaving.batch("scorecards"))
    assert done.aside is not None

    # when a later change is committed and indexed, before it is carried out, in the middle, or before it is confirmed
    def change() -> None:
        meanwhile(leaving)
        leaving.live()

    if when is not None:
        leaving.on(when[0], change, nth=when[1])
    else:
        change()
    leaving.finish(done.aside)
    # then ClickHouse is equal to Postgres
    leaving.check()


def test_a_conversation_with_very_many_scorecards_is_left_aside(
    leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "MOST_AT_ONCE", 2)
    cards = [str(UUID(int=number)) for number in range(10, 13)]
    for card in cards:
        leaving.postgres.insert("scorecards", card, conversation_id=CHAT)
    leaving.live()
    leaving.postgres.insert(CHATS, CHAT, started_at=FEBRUARY)
    batch = leaving.batch(CHATS)
    done = leaving.leave(batch)
    assert done.aside is not None
    assert sorted(done.aside.versions) == cards
    assert done.aside.parts == {0}
    leaving.finish(done.aside)
    leaving.check()


def test_a_lost_partition_has_it_done_twice(leaving: Leaving) -> None:
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    done = leaving.leave(leaving.batch("scorecards"))
    assert done.aside is not None
    assert leaving.finish(done.aside, mine=False).reindexed == 2
    leaving.check()


BAD = 2**20  # for a column of 16 bits


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("table", ["scorecards", CHATS])
def test_it_is_told_that_the_batch_lost_its_partitions(leaving: Leaving, table: str, *, mine: bool) -> None:
    # given a large scorecard that moves, by itself or with its conversation
    if table == CHATS:
        leaving.gets_a_conversation()
        leaving.postgres.update(CHATS, CHAT, started_at=MARCH)
    else:
        leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    left = leaving.leave(leaving.batch(table), mine=mine).aside
    assert left is not None
    assert left.lost is not mine


def test_a_row_that_a_lost_batch_wrote_out_of_place_is_undone_with_what_is_aside(leaving: Leaving) -> None:
    # given a message that makes the large scorecard be reindexed, and a later one of the batch that adds a score
    leaving.postgres.update("scores", SCORES[0], updated_at=INFINITY)
    leaving.postgres.insert("scores", NEW, scorecard_id=CARD)
    batch = leaving.batch("scores")

    # when the next owner has processed a move and both of them before this one's insert arrives
    def overtaken() -> None:
        leaving.moves()
        leaving.process(batch)

    leaving.on("write", overtaken)
    left = leaving.leave(batch, mine=False).aside
    assert left is not None
    assert leaving.target.visible(SCORE) != leaving.postgres.expected(SCORE)
    # then the work that is aside brings the scorecard right
    leaving.finish(left, mine=False)
    for target in TARGETS:
        assert leaving.target.visible(target) == leaving.postgres.expected(target)


def test_the_dead_letter_of_a_large_scorecard_is_sent_when_it_is_reindexed(leaving: Leaving) -> None:
    # given two refused messages in one batch, about a large scorecard that moves and a small one
    small = str(UUID(int=7))
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY, submission_source=BAD)
    leaving.postgres.insert("scorecards", small, scorecard_time=JANUARY, submission_source=BAD)
    batch = leaving.batch("scorecards")
    # when it is processed, then both count as dead letters, and that of the small one alone is sent
    done = leaving.leave(batch)
    assert done.aside is not None
    assert (list(done.aside.versions), done.aside.parts) == ([CARD], {0})
    assert done.ledger.totals() == {Outcome.DEAD_LETTER: 2}
    assert done.refused == {"wrong_type": 2}
    assert [letter.applied for letter in leaving.dead_letters.letters] == ["reindexed=1 retired=0 withheld=1"]
    # when the large one is carried out, then its letter tells what was done, and has the whole message
    leaving.finish(done.aside)
    letter = leaving.dead_letters.letters[-1]
    assert (letter.applied, letter.message) == ("reindexed=1 retired=0 withheld=1", batch.messages[0])
    assert {key.event_time_us for key in leaving.target.visible_keys()} == {FEBRUARY}


def test_a_letter_is_not_lost_with_a_worker_that_dies_before_it_is_sent(leaving: Leaving) -> None:
    # given a worker that is killed amid a large reindex for a refused message; it has not committed the offset
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY, submission_source=BAD)
    batch = leaving.batch("scorecards")
    done = leaving.leave(batch)
    assert done.aside is not None
    assert leaving.dead_letters.letters == []

    def die() -> None:
        raise Killed

    leaving.on("write", die, nth=2)
    with pytest.raises(Killed):
        leaving.finish(done.aside)
    # when another one does it again, then the letter is there
    done = leaving.leave(batch, again=True)
    assert done.aside is not None
    leaving.finish(done.aside)
    assert leaving.dead_letters.reasons == ["wrong_type"]


def test_the_letter_of_a_large_conversation_counts_all_its_scorecards(
    leaving: Leaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a conversation with three scorecards that are left aside, and one of them that leaves it meanwhile
    monkeypatch.setattr(aside, "MOST_AT_ONCE", 2)
    cards = [str(UUID(int=number)) for number in range(10, 13)]
    leaving.postgres.insert(CHATS, CHAT, started_at=JANUARY)
    for card in cards:
        leaving.postgres.insert("scorecards", card, conversation_id=CHAT)
    leaving.live()
    leaving.postgres.update(CHATS, CHAT, started_at=INFINITY)
    done = leaving.leave(leaving.batch(CHATS))
    assert done.aside is not None
    assert leaving.dead_letters.letters == []
    leaving.postgres.update("scorecards", cards[0], conversation_id=None, scorecard_time=FEBRUARY)
    # when they are carried out, then the letter has what became of each
    leaving.finish(done.aside)
    assert [letter.applied for letter in leaving.dead_letters.letters] == ["reindexed=1 retired=2 withheld=0"]


def test_beside_a_refused_message_masses_are_not_left_aside(many: Leaving) -> None:
    # given a batch that deletes many scorecards, and has a refused message
    delete(many, CARDS)
    many.postgres.update("scorecards", CARD, submission_source=BAD)
    # when it is processed, then all is done at once: letters of masses would stay in memory
    done = many.leave(many.batch("scorecards"))
    assert done.aside is None
    assert many.dead_letters.reasons == ["wrong_type"]
    assert len(many.target.visible_keys()) == len(SCORES), "the row with the bad value is withheld"


def sent_again(batch: FakeFetched) -> FakeFetched:
    """The same messages further on in the log: none of them tells the order."""
    return FakeFetched([replace(message, offset=message.offset + 10) for message in batch.messages], batch.table)


def test_rows_that_a_dead_worker_left_under_another_customer_are_found_afterwards(leaving: Leaving) -> None:
    # given a score whose message comes late, and a worker that dies when it has written it for a customer that the
    # scorecard has left meanwhile
    leaving.postgres.insert("scores", str(UUID(int=0x100)), scorecard_id=CARD)  # in the first of its pieces
    first = leaving.batch("scores")
    leaving.postgres.update("scores", SCORES[0], comment="later")
    late = FakeFetched([*leaving.batch("scores").messages, *sent_again(first).messages], "scores")

    def die() -> None:
        raise Killed

    def meanwhile() -> None:
        leaving.changes_customer()
        leaving.on("snapshot", die)

    leaving.on("write", meanwhile, nth=2)  # the first is of the other message
    with pytest.raises(Killed):
        leaving.process(late)
    # when another one takes over messages that name no customer, and the large reindex is carried out
    done = leaving.leave(late, again=True)
    assert done.aside is not None
    assert done.aside.again
    leaving.finish(done.aside)
    leaving.check()


def test_it_is_written_at_the_highest_version_of_the_batch(leaving: Leaving) -> None:
    # given a message that moves a large scorecard, and a later one that does not
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    leaving.postgres.update("scorecards", CARD, comment="later")
    done = leaving.leave(leaving.batch("scorecards"))
    assert done.aside is not None
    leaving.finish(done.aside)
    assert {state.version for key, state in leaving.target.states.items() if key.event_time_us == FEBRUARY} == set(
        done.aside.versions.values()
    )
    leaving.check()


def test_messages_that_come_late_leave_large_reindexes_aside_too(leaving: Leaving) -> None:
    # given a message that moves a large scorecard, and is processed
    leaving.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
    batch = leaving.batch("scorecards")
    leaving.process(batch)
    leaving.postgres.update("scorecards", CARD, scorecard_time=MARCH)
    leaving.live()
    # when it is sent again, at a later offset
    done = leaving.leave(sent_again(batch))
    # then ClickHouse is asked for the order, before the reindex and after it
    assert done.late == 1
    assert done.aside is not None
    assert done.aside.unordered == {CARD}
    leaving.finish(done.aside)
    leaving.check()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Leaving:
    """Four scorecards with a score each besides the one of the bench; more than two are too many for a batch."""
    monkeypatch.setattr(aside, "MOST_AT_ONCE", 2)
    many = Leaving()
    with many.postgres.begin() as tx:
        for card in CARDS:
            tx.insert("scorecards", card, scorecard_time=JANUARY)
            tx.insert("scores", card, scorecard_id=card)
    many.live()
    return many


def delete(bench: Bench, cards: Iterable[str]) -> None:
    with bench.postgres.begin() as tx:
        for card in cards:
            tx.delete("scorecards", card)


def test_the_scorecards_of_a_deleted_customer_are_left_aside_and_an_appeal_is_not(many: Leaving) -> None:
    # given a transaction that deletes many scorecards, and one that makes an appeal of another, in one batch
    delete(many, CARDS)
    many.postgres.update("scorecards", CARD, scorecard_type=2)
    # when it is processed, then the appeal is hidden at once
    done = many.leave(many.batch("scorecards"))
    assert done.aside is not None
    assert sorted(done.aside.versions) == sorted(done.aside.gone) == CARDS
    assert UUID(CARD).int not in {key.scorecard_id for key in many.target.visible_keys()}
    assert done.ledger.totals() == {Outcome.RETIRED: 5}
    # when the rest is carried out, then both stores are equal, and no row was read from Postgres for it
    snapshots = many.postgres.calls["snapshot"]
    many.finish(done.aside)
    assert many.postgres.calls["snapshot"] == snapshots
    many.check()


def test_few_that_are_deleted_are_retired_at_once(many: Leaving) -> None:
    delete(many, CARDS[:2])
    before = many.postgres.calls["snapshot"]
    done = many.leave(many.batch("scorecards"))
    assert done.aside is None
    assert many.postgres.calls["snapshot"] == before, "the batch's own look has not found them"
    many.check()


def test_many_that_move_are_left_aside_and_all_else_of_the_batch_is_written(many: Leaving) -> None:
    # given a batch of which all that must be reindexed is left aside, and that has rows to write as well
    with many.postgres.begin() as tx:
        for card in CARDS:
            tx.update("scorecards", card, scorecard_time=FEBRUARY)
    many.postgres.update("scorecards", CARD, comment="later")
    done = many.leave(many.batch("scorecards"))
    assert done.aside is not None
    assert (sorted(done.aside.versions), done.aside.gone) == (CARDS, set())
    assert done.rows == 1
    many.finish(done.aside)
    many.check()


@pytest.mark.parametrize("when", [None, ("standing", 1), ("write", 1), ("write", 2), ("places", 1)], ids=str)
@pytest.mark.parametrize("moves", [False, True], ids=["as it was", "elsewhere"])
def test_one_that_comes_back_meanwhile_stands(many: Leaving, when: tuple[str, int] | None, *, moves: bool) -> None:
    # given scorecards that a batch has found gone, and left aside
    delete(many, CARDS)
    done = many.leave(many.batch("scorecards"))
    assert done.aside is not None

    # when one of them is inserted again, before it is carried out, in the middle, or before it is confirmed
    def change() -> None:
        with many.postgres.begin() as tx:
            tx.insert("scorecards", CARDS[1], scorecard_time=FEBRUARY if moves else JANUARY)
            tx.insert("scores", NEW, scorecard_id=CARDS[1])
        many.live()

    if when is not None:
        many.on(when[0], change, nth=when[1])
    else:
        change()
    many.finish(done.aside)
    # then ClickHouse is equal to Postgres
    many.check()


def test_of_messages_that_come_late_none_counts_as_gone(many: Leaving) -> None:
    # given deletes that are sent again, at a later offset
    delete(many, CARDS)
    batch = many.batch("scorecards")
    many.process(batch)
    # when they are processed, then Postgres is asked once more, after ClickHouse was asked for the order
    done = many.leave(sent_again(batch))
    assert done.aside is not None
    assert done.aside.unordered == set(CARDS[:-1]), "the last one is as new as what lies before it"
    before = many.postgres.calls["snapshot"]
    many.finish(done.aside)
    assert many.postgres.calls["snapshot"] > before
    many.check()


def test_what_is_too_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "MOST_AT_ONCE", 2)
    assert of_large_conversations({"a": ["1", "2"], "b": ["3"]}) == []
    assert of_large_conversations({"a": ["1", "2", "4"], "b": ["3"]}) == ["1", "2", "4"]
    assert of_masses("12", ()) == []
    assert of_masses("12345", {"1", "4", "5"}) == ["1", "4", "5"], "all that are gone"
    assert of_masses("12345", {"1", "4"}) == ["2", "3", "5"], "all others"
