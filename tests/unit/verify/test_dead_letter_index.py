"""Which dead letters still explain a difference: those that no later state of their row settled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.errors import KafkaUnavailable
from stream.kafka import dead_letters as dead_letter_log
from stream.kafka import settled_letters
from stream.kafka.broker import Broker
from stream.kafka.dead_letters import Kept
from stream.kafka.settled_letters import Settled
from stream.pipeline.dead_letter import DeadLetter, Message
from stream.pipeline.ordering import of_marker, version
from stream.pipeline.placement import place_of
from stream.pipeline.stored import Key
from stream.pipeline.writes import Layout
from stream.settings_sections import KafkaSettings
from stream.tables import SCORE
from stream.times import DAY_US
from stream.topic_names import TopicNames
from stream.verify.dead_letter_index import DeadLetterIndex, row_of_key, version_of, whole
from stream.verify.findings import compare
from stream.verify.row_states import Card, InPostgres, SourceRow

LAYOUT = Layout(shards=2, bucket_days=1)
AT = 20_000 * DAY_US
CARD, ROW = 0xA, 0xB
ROW_ID = "00000000-0000-0000-0000-00000000000b"
SEQUENCE = '["100", "90"]'
REFUSED = version(SEQUENCE)


def letter(*, applied: str = "", sequence: str | None = SEQUENCE) -> Kept:
    value = None if sequence is None else json.dumps({"payload": {"source": {"sequence": sequence}}}).encode()
    message = Message("t.app.scores", 0, 7, 1, json.dumps({"score_id": ROW_ID}).encode(), value)
    return Kept(0, 3, DeadLetter(message, "bad_value", "no number", 2, applied))


def index_of(monkeypatch: pytest.MonkeyPatch, *letters: Kept, settled: Settled | None = None) -> DeadLetterIndex:
    monkeypatch.setattr(dead_letter_log, "read", lambda _: iter(letters))
    monkeypatch.setattr(settled_letters, "settled", lambda _: settled or Settled())
    broker = Broker(KafkaSettings(), TopicNames("t", "app", "t.dead-letters"))
    index = DeadLetterIndex(broker, epoch=0)
    index.by_row()
    return index


def reason(index: DeadLetterIndex, *, stands: tuple[int, bool] | None = None, fault: str = "") -> str:
    """Why the row is missing, when ClickHouse holds this version of it, or nothing."""
    place = place_of(customer_id="acme", scorecard_type=None, process=True, event_time_us=AT)
    states = InPostgres()
    states.cards[CARD] = Card(place, None, None, False, AT, "template")
    states.rows[SCORE.target, ROW] = SourceRow(CARD, "", fault)
    key = LAYOUT.key(SCORE, place, scorecard_id=CARD, row_id=ROW)
    highest: dict[Key, tuple[int, bool]] = {} if stands is None else {key: stands}
    settled = index.settled(highest)
    (found,) = compare(states, [], LAYOUT, highest=highest, dead_letters=index.by_row(), settled=settled)
    return found.reason


@pytest.mark.parametrize("stands", [None, (REFUSED - 1, True), (REFUSED, True), (of_marker(REFUSED), True)])
def test_an_open_letter_is_the_reason(monkeypatch: pytest.MonkeyPatch, stands: Any) -> None:
    assert "dead letter" in reason(index_of(monkeypatch, letter()), stands=stands)


def test_a_letter_before_a_later_state_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    told = reason(index_of(monkeypatch, letter()), stands=(REFUSED + 8, True))
    assert told == f"hidden by a delete marker of version {REFUSED + 8}"


def test_a_letter_whose_row_was_reindexed_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(monkeypatch, letter(applied="reindexed=1 retired=0 withheld=0"))
    assert reason(index) == "not in ClickHouse at all"


def test_the_latest_letter_of_a_row_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = letter(applied="reindexed=1 retired=0 withheld=0")
    assert "dead letter" in reason(index_of(monkeypatch, earlier, letter(applied="reindexed=1 retired=0 withheld=1")))


def test_a_row_that_still_cannot_be_indexed_names_its_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    told = reason(index_of(monkeypatch, letter()), stands=(REFUSED + 8, True), fault="score is not finite")
    assert told.startswith("cannot be indexed: score is not finite; dead letter")


@pytest.mark.parametrize("value", [None, b"", b"junk", b"[]", b"3", b'"payload"', b'{"payload": null}', b"{}"])
def test_a_value_without_a_version_has_none(value: bytes | None) -> None:
    assert version_of(value, epoch=0) is None


def test_what_was_applied() -> None:
    assert whole("reindexed=1 retired=0 withheld=0")
    assert not whole("reindexed=1 retired=0 withheld=2")
    assert not whole("")


def test_the_row_of_a_message_is_read_from_keys_of_all_kinds() -> None:
    assert row_of_key(b'{"score_id": "AB"}') == "ab"
    assert row_of_key(b'{"scorecard_id": "cd", "score_id": "ab"}') == "ab"
    assert row_of_key(b'{"schema": {}, "payload": {"scorecard_id": "cd"}}') == "cd"
    for nonsense in (None, b"", b"\xff", b"[1]", b"7", b'{"id": 1}'):
        assert row_of_key(nonsense) is None


@pytest.mark.parametrize("state", ["reindexed", "acked", "discarded"])
def test_a_letter_that_was_settled_explains_nothing(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    settled = Settled({"0/3-3": json.dumps({"state": state, "at_ms": 5}).encode()})
    assert "dead letter" not in reason(index_of(monkeypatch, letter(), settled=settled))


def test_letters_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> Any:
        raise KafkaUnavailable("brokers b:9092: no answer")

    monkeypatch.setattr(settled_letters, "settled", away)
    index = DeadLetterIndex(Broker(KafkaSettings(), TopicNames("t", "app", "t.dead-letters")), epoch=0)
    assert index.by_row() == {}
    assert index.unread == "brokers b:9092: no answer"
