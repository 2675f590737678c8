"""The account of a batch: every message has one outcome, and each refused one a dead letter."""

from __future__ import annotations

import logging

import pytest

from stream.errors import Refused
from stream.pipeline.account import account, log_letters, parts_that_ask, refusal_of_change
from stream.pipeline.aside import Aside
from stream.pipeline.dead_letter import DeadLetter, Message
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Decoded
from stream.pipeline.ledger import Done, Ledger, Outcome
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.plan import Plan
from stream.pipeline.prepare import BatchDecoder
from stream.pipeline.refusal import Refusal
from tests.fakes import FakeFetched, envelope
from tests.fakes.rows import row_of
from tests.unit.pipeline.bench import CARD, CHAT, FEBRUARY, JANUARY, Bench

TOPIC = "t.app.scores"
SCORE_ID, OLD, NEW = (f"00000000-0000-4000-8000-00000000000{n}" for n in "abc")


def fetched(*partitions: int) -> list[FakeFetched]:
    """Two messages of each partition."""
    return [
        FakeFetched([Message(TOPIC, partition, offset, 0, b"k", b"secret") for offset in range(2)], "scores", partition)
        for partition in partitions
    ]


def test_a_refused_message_is_counted_in_its_own_partition_and_kept_whole() -> None:
    # given two messages of two partitions each, of which the third is refused and its scorecard was reindexed
    parts = fetched(0, 1)
    done = Done(ledger=Ledger(TOPIC))
    place = Place(State.VISIBLE, "acme", 5, True)
    plan = Plan(outcomes=[], used={"card": place})
    refusals = {2: Refusal(Refused("bad_uuid", "not a UUID"), ids=["card"])}
    # when the batch is accounted for
    letters = account(parts, [Outcome.WRITTEN, Outcome.DROPPED, None, Outcome.WRITTEN], refusals, plan, done)
    # then the ledger balances, and the letter has the message and what was done in its place
    done.ledger.check()
    assert done.ledger.totals() == {Outcome.WRITTEN: 2, Outcome.DROPPED: 1, Outcome.DEAD_LETTER: 1}
    (letter,) = letters
    assert (letter.message.partition, letter.message.offset, letter.message.value) == (1, 0, b"secret")
    assert (letter.reason, letter.applied) == ("bad_uuid", "reindexed=1 retired=0 withheld=0")
    assert done.refused == {"bad_uuid": 1}


def test_a_change_whose_content_cannot_be_written_names_its_scorecard() -> None:
    # given a score that moves, decoded
    before = row_of("scores", SCORE_ID, scorecard_id=OLD)
    (change,) = Decoder("scores").decode([envelope("scores", "u", before, before | {"scorecard_id": NEW})])
    # when its content is refused, then the scorecard that it leaves is reindexed
    assert refusal_of_change(change, Refused("bad_time", "x")).ids == [OLD]


def test_the_log_names_the_place_of_a_letter_and_never_its_error(caplog: pytest.LogCaptureFixture) -> None:
    # given a letter whose error quotes the value
    letter = DeadLetter.of(Message(TOPIC, 3, 7, 0, b"k", b"v"), Refused("bad_time", "secret"), now_ms=1)
    # when it is logged
    with caplog.at_level(logging.WARNING):
        log_letters([letter])
    # then the line has topic, partition, offset and reason, and no word of the value
    (record,) = [each for each in caplog.records if each.name == "stream.pipeline.account"]
    assert (record.__dict__["topic"], record.__dict__["partition"], record.__dict__["offset"]) == (TOPIC, 3, 7)
    assert "secret" not in str(record.__dict__)


def test_only_the_parts_of_a_batch_that_ask_for_some_scorecards_are_named() -> None:
    # given messages of two partitions, of which each moves a scorecard
    bench = Bench()
    other = "00000000-0000-4000-8000-000000000008"
    bench.postgres.insert("scorecards", other, scorecard_time=JANUARY)
    bench.live()
    parts = []
    for card in (other, CARD):
        bench.postgres.update("scorecards", card, scorecard_time=FEBRUARY)
        parts.append(bench.batch("scorecards"))
    messages = BatchDecoder("scorecards").prepare(parts).messages
    # then those are named whose messages are about one of the scorecards
    assert parts_that_ask("scorecards", parts, messages, {}, [CARD], {}) == {1}
    assert parts_that_ask("scorecards", parts, messages, {}, [other, CARD], {}) == {0, 1}
    assert parts_that_ask("scorecards", parts, messages, {}, [NEW], {}) == set()


def test_a_refused_message_asks_for_the_scorecards_that_it_names() -> None:
    parts = fetched(0, 1)
    messages: list[Decoded] = [Refused("bad_uuid", "x")] * 4
    refused, of_chat = (Refusal(Refused("bad_uuid", "x"), ids=[each]) for each in (CARD, CHAT))
    assert parts_that_ask("scorecards", parts, messages, {3: refused}, [CARD], {}) == {1}
    assert parts_that_ask("chats", parts, messages, {3: of_chat}, [CARD], {CHAT: [CARD]}) == {1}
    assert parts_that_ask("scorecards", parts, messages, {3: refused}, [NEW], {}) == set()


def test_the_letter_about_what_is_left_aside_waits_there() -> None:
    # given two refused messages, one about two scorecards of which one is left aside
    parts = fetched(0)
    done = Done(ledger=Ledger(TOPIC), aside=Aside({CARD: 8}), withheld={NEW: 1})
    place = Place(State.VISIBLE, "acme", 5, True)
    plan = Plan(outcomes=[], used={NEW: place}, aside={CARD: 8})
    why = Refused("bad_uuid", "x")
    refusals = {0: Refusal(why, ids=[NEW]), 1: Refusal(why, ids=[CARD, NEW])}
    # when the batch is accounted for, then only the first letter is to be sent now
    letters = account(parts, [None, None], refusals, plan, done)
    assert [letter.message.offset for letter in letters] == [0]
    assert done.refused == {"bad_uuid": 2}
    # when the other one is carried out, then its letter counts both
    assert done.aside is not None
    (later,) = done.aside.letters
    assert later.tell({CARD: GONE}, {CARD: 2}).applied == "reindexed=1 retired=1 withheld=3"


def test_a_message_of_a_chat_asks_for_its_scorecards() -> None:
    bench = Bench()
    bench.postgres.insert("chats", CHAT, started_at=FEBRUARY)
    parts = [bench.batch("chats")]
    messages = BatchDecoder("chats").prepare(parts).messages
    assert parts_that_ask("chats", parts, messages, {}, [CARD], {CHAT: [NEW, CARD]}) == {0}
    assert parts_that_ask("chats", parts, messages, {}, [CARD], {CHAT: [NEW], "other": [CARD]}) == set()
