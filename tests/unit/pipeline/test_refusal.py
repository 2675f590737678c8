"""A refused message leaves nothing wrong behind: what it names is as Postgres has it, and the letter says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stream.errors import Refused, TooManyDeadLetters
from stream.pipeline.dead_letter import DeadLetterGuard, Message
from stream.pipeline.ledger import Outcome
from stream.pipeline.ordering import version
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.plan import Plan
from stream.pipeline.refusal import Refusal, refusal_of
from stream.pipeline.writes import Layout
from stream.tables import CHATS, SCORE, SCORECARD, TARGETS
from tests.fakes import FakeFetched, envelope
from tests.fakes.debezium import INFINITY
from tests.unit.pipeline.test_races import CARD, CHAT, FEBRUARY, GRADED, JANUARY, NEW, SCORES, Bench


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    with found.postgres.begin() as tx:  # the first transaction after the start is reindexed anyway
        tx.insert("scorecards", GRADED, conversation_id=CHAT)
        tx.insert("scores", NEW, scorecard_id=GRADED)
    found.postgres.insert(CHATS, CHAT, started_at=JANUARY)
    found.live()
    return found


def visible(bench: Bench, table: Any = SCORECARD) -> int:
    return len(bench.target.visible(table))


def test_an_appeal_is_hidden_though_another_column_is_unreadable(bench: Bench) -> None:
    bench.postgres.update("scorecards", CARD, scorecard_type=1, submitted_at=INFINITY)
    bench.check()
    assert visible(bench) == 1
    (letter,) = bench.dead_letters.letters
    assert (letter.reason, letter.applied) == ("wrong_type", "reindexed=0 retired=1 withheld=0")


@pytest.mark.parametrize("row", [CARD, GRADED], ids=["process", "of a conversation"])
def test_a_before_image_that_cannot_be_read_refuses_nothing(bench: Bench, row: str) -> None:
    bench.postgres.update("scorecards", row, scorecard_time=INFINITY)
    bench.check()
    refused = len(bench.dead_letters.letters)
    # when it is corrected, and broken and deleted
    bench.postgres.update("scorecards", row, scorecard_time=FEBRUARY, score=9.0)
    bench.check()
    assert len(bench.dead_letters.letters) == refused
    bench.postgres.update("scorecards", row, scorecard_time=INFINITY)
    bench.live()
    refused = len(bench.dead_letters.letters)
    bench.postgres.delete("scorecards", row)
    bench.check()
    assert len(bench.dead_letters.letters) == refused
    assert visible(bench) == 1


def test_a_conversation_without_a_time_that_can_be_held_takes_its_scorecards_away_and_back(bench: Bench) -> None:
    bench.postgres.update(CHATS, CHAT, started_at=INFINITY)
    bench.check()
    assert visible(bench) == 1
    (letter,) = bench.dead_letters.letters
    assert letter.applied == "reindexed=0 retired=1 withheld=0"
    bench.postgres.update(CHATS, CHAT, started_at=FEBRUARY)
    bench.check()
    assert visible(bench) == 2


def test_what_stands_of_a_row_that_clickhouse_cannot_hold_is_retired_and_told(bench: Bench) -> None:
    bench.postgres.update("scores", SCORES[0], updated_at=INFINITY)
    bench.check()
    assert visible(bench, SCORE) == 2
    (letter,) = bench.dead_letters.letters
    assert letter.applied == "reindexed=1 retired=0 withheld=1"


@pytest.mark.parametrize("column", ["criterion_id", "not_applicable", "updated_at"])
def test_null_where_none_may_be_is_withheld_by_live_and_by_a_reindex(bench: Bench, column: str) -> None:
    bench.postgres.update("scores", NEW, **{column: None})
    bench.check()
    bench.postgres.update(CHATS, CHAT, started_at=FEBRUARY)
    bench.check()  # the fake refuses a None where ClickHouse does
    assert visible(bench) == 2
    assert visible(bench, SCORE) == 2


def test_scorecards_of_a_customer_without_a_name_are_moved_hidden_and_deleted_as_any_other(bench: Bench) -> None:
    for row in (CARD, GRADED):
        bench.postgres.update("scorecards", row, customer_id="")
    bench.check()
    bench.postgres.update(CHATS, CHAT, started_at=FEBRUARY)
    bench.check()
    bench.postgres.update("scorecards", GRADED, scorecard_type=2)
    bench.check()
    bench.postgres.update("scorecards", CARD, customer_id="globex")
    bench.check()
    bench.postgres.delete("scorecards", CARD)
    bench.check()
    assert visible(bench) == 0


def test_an_older_good_state_of_the_same_batch_does_not_outlive_a_refused_one(bench: Bench) -> None:
    bench.postgres.update("scores", SCORES[0], comment="second")
    bench.postgres.update("scores", SCORES[0], numeric_value=float("nan"))
    batch = bench.batch("scores")
    bench.process(batch)
    assert visible(bench, SCORE) == 2


GARBAGE = [b"", b"{", b"\xff\xfe", b"[1]", b'{"op":"u"}', b'{"payload":{"op":1,"source":[],"after":7}}']


@pytest.mark.parametrize("value", GARBAGE)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_key_names_the_row_when_nothing_else_does(bench: Bench, value: bytes, wrapped: bool) -> None:
    # given a change of place of which the value arrived broken
    bench.postgres.update("scorecards", CARD, customer_id="globex", scorecard_type=3)
    batch = bench.batch("scorecards")
    key = {"schema": {}, "payload": {"scorecard_id": CARD}} if wrapped else {"scorecard_id": CARD}
    broken = [replace(message, key=json.dumps(key).encode(), value=value) for message in batch.messages]
    bench.process(FakeFetched(broken, "scorecards"))
    # then rows under the former customer are found and retired all the same
    assert visible(bench) == 1
    assert bench.dead_letters.letters[-1].applied == "reindexed=0 retired=1 withheld=0"


@pytest.mark.parametrize("table", [CHATS, "scorecards", "scores"])
@pytest.mark.parametrize("key", [None, b"", b"\xff", b"7", b'{"scorecard_id":"n/a","conversation_id":7}'])
def test_a_message_that_names_nothing_changes_nothing(bench: Bench, table: str, key: bytes | None) -> None:
    message = Message(f"t.app.{table}", 0, 999, 0, key, b"{")
    bench.process(FakeFetched([message], table))
    assert bench.dead_letters.letters[-1].applied == "none"
    for target in TARGETS:
        assert bench.target.visible(target) == bench.postgres.expected(target)


@pytest.mark.parametrize(
    ("source", "unordered"),
    [({}, False), ({"ts_ms": "soon"}, True), ({"sequence": '[null,"5"]'}, True), ({"sequence": "x"}, True)],
)
def test_a_refused_message_has_its_own_order_where_it_tells_one(source: dict[str, Any], unordered: bool) -> None:
    # given a message whose content cannot be read
    value = json.loads(envelope("scorecards", "u", None, {"scorecard_id": CARD}))
    value["source"] |= source
    # when what it names is taken from it
    refusal = refusal_of("scorecards", None, json.dumps(value).encode(), Refused("wrong_type", "x"))
    # then it has its own version, or none that tells the order
    assert (refusal.ids, refusal.unordered) == ([CARD], unordered)
    assert unordered or refusal.version == version('["100","200"]')


def test_of_a_filtered_replay_a_refused_message_reindexes_what_is_wanted_alone() -> None:
    refusals = [Refusal(Refused("wrong_type", "x"), ids=[CARD, GRADED], customers={"acme"}, version=8)]
    plan = Plan(outcomes=[])
    plan.settle_refused(refusals, [], {GRADED})
    assert plan.reindex == {GRADED: 8}


def test_an_id_that_is_none_does_not_fail_its_batch(bench: Bench) -> None:
    bench.postgres.update("scores", SCORES[0], comment="better")
    batch = bench.batch("scores")
    value = (batch.messages[0].value or b"").replace(SCORES[0].encode(), b"n/a")
    odd = replace(batch.messages[0], value=value)
    bench.process(FakeFetched([odd, *batch.messages], "scores"))
    bench.check()
    assert [letter.reason for letter in bench.dead_letters.letters] == ["bad_uuid"]


def test_the_guard_is_asked_before_letters_are_produced(bench: Bench) -> None:
    pipeline = Pipeline(
        "scores",
        source=bench.postgres,
        target=bench.target,
        dead_letters=bench.dead_letters,
        layout=Layout(shards=2, bucket_days=1),
        guard=DeadLetterGuard(share=0.5, window=2),
    )
    messages = [Message("t.app.scores", 0, at, 0, b"k", b"{") for at in range(3)]
    for _ in range(2):  # a restart meets the same batch
        with pytest.raises(TooManyDeadLetters):
            pipeline.process([FakeFetched(messages, "scores")])
    assert not bench.dead_letters.letters


def test_a_pass_whose_letters_another_one_produces_reindexes_and_produces_none(bench: Bench) -> None:
    # given refused messages, of which one names a scorecard, and a guard that would stop at the second one
    pipeline = Pipeline(
        "scores",
        source=bench.postgres,
        target=bench.target,
        dead_letters=bench.dead_letters,
        layout=Layout(shards=2, bucket_days=1),
        guard=DeadLetterGuard(share=0.1, window=1),
        letters=False,
    )
    key = b'{"scorecard_id":"%s","score_id":"%s"}' % (CARD.encode(), SCORES[0].encode())
    messages = [Message("t.app.scores", 0, at, 0, key, b"{") for at in range(2)]
    # when a tail pass processes them
    done = pipeline.process([FakeFetched(messages, "scores")])
    # then they are in the ledger, and no letter is produced or counted
    assert done.ledger.totals() == {Outcome.DEAD_LETTER: 2}
    assert (done.reindexed, done.refused, bench.dead_letters.letters) == (1, {}, [])


def test_the_first_transaction_after_a_snapshot_wins_over_the_snapshot() -> None:
    # given a transaction that began before the snapshot and ended after it: its LSNs are lower
    bench = Bench()
    bench.postgres.update("scores", SCORES[0], comment="old")
    old = bench.batch("scores").messages[0]
    bench.process(FakeFetched([_with(old, ["900000", "900000"], "true", op="r")], "scores"))
    bench.postgres.update("scores", SCORES[0], comment="new")
    first = bench.batch("scores").messages[0]
    # when its change comes, without a commit before it
    bench.process(FakeFetched([_with(first, [None, "10"], "false")], "scores"))
    for table in TARGETS:
        assert bench.target.visible(table) == bench.postgres.expected(table)
    # and later ones win in their turn
    bench.postgres.update("scores", SCORES[0], comment="newest")
    newest = bench.batch("scores").messages[0]
    bench.process(FakeFetched([_with(newest, ["900001", "900002"], "false")], "scores"))
    for table in TARGETS:
        assert bench.target.visible(table) == bench.postgres.expected(table)


@pytest.mark.parametrize("change", ["moves", "becomes_appeal", "is_deleted", "changes_customer"])
def test_a_change_of_place_in_the_first_transaction_wins_over_the_snapshot(change: str) -> None:
    bench = Bench()
    bench.postgres.update("scorecards", CARD, comment="old")
    old = bench.batch("scorecards").messages[0]
    bench.process(FakeFetched([_with(old, ["900000", "900000"], "true", op="r")], "scorecards"))
    {
        "moves": lambda: bench.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY),
        "becomes_appeal": lambda: bench.postgres.update("scorecards", CARD, scorecard_type=2),
        "is_deleted": lambda: bench.postgres.delete("scorecards", CARD),
        "changes_customer": lambda: bench.postgres.update("scorecards", CARD, customer_id="globex"),
    }[change]()
    batch = bench.batch("scorecards")
    bench.process(FakeFetched([_with(message, [None, "10"], "false") for message in batch.messages], "scorecards"))
    assert bench.target.visible(SCORECARD) == bench.postgres.expected(SCORECARD)


def _with(message: Message, sequence: list[str | None], snapshot: str, **body: str) -> Message:
    envelope = json.loads(message.value or b"")
    envelope["source"] |= {"sequence": json.dumps(sequence), "snapshot": snapshot}
    return replace(message, value=json.dumps(envelope | body).encode())
