"""Bytes -> Envelope, and everything that is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.epochs import Epochs
from stream.errors import Refused
from stream.pipeline.decoder import Decoder
from stream.pipeline.envelope import Envelope
from stream.pipeline.ordering import epoch_of
from tests.fakes import envelope, iso

ID = "50000000-0000-4000-8000-000000000001"
CARD = "5c000000-0000-4000-8000-000000000001"
SCORE = {
    "score_id": ID,
    "scorecard_id": CARD,
    "criterion_id": "00000000-0000-4000-8000-0000000000c1",
    "numeric_value": 1.5,
    "ai_value": None,
    "not_applicable": False,
    "comment": "good",
    "updated_at": 1_767_225_600_123_456,
}


def changed(**values: Any) -> bytes:
    return envelope("scores", "c", None, SCORE | values)


def without(path: str) -> bytes:
    """A create without one field; `path` as in after.score_id."""
    value = json.loads(changed())
    *parents, last = path.split(".")
    inner = value
    for name in parents:
        inner = inner[name]
    del inner[last]
    return json.dumps(value).encode()


def decoded(value: bytes | None) -> Any:
    (item,) = Decoder("scores").decode([value])
    return item


def reason(value: bytes) -> str:
    item = decoded(value)
    assert isinstance(item, Refused), item
    return item.reason


def test_a_create_has_the_rows_values() -> None:
    item = decoded(changed())
    assert isinstance(item, Envelope)
    assert (item.op, item.after.score_id, item.after.numeric_value, item.after.comment) == ("c", ID, 1.5, "good")
    assert item.version == 100 << 56 | 200
    assert item.source.ts_ms == 1_700_000_000_123


def test_an_update_has_both_images_and_a_delete_the_old_one() -> None:
    update = decoded(envelope("scores", "u", SCORE, SCORE | {"comment": "better"}))
    assert (update.before.comment, update.after.comment) == ("good", "better")
    delete = decoded(envelope("scores", "d", SCORE, None))
    assert (delete.after, delete.before.scorecard_id) == (None, CARD)


def test_a_null_value_is_a_tombstone() -> None:
    assert decoded(None) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (changed()[:-20], "not_json"),
        (b"not json", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b'"text"', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"{}", "missing_field"),
        (b"null", "not_json"),
        (changed(numeric_value=[1]), "wrong_type"),
        (changed(not_applicable="no"), "wrong_type"),
        (changed(comment=7), "wrong_type"),
        (changed(updated_at="yesterday"), "wrong_type"),
        (changed(updated_at="2026-01-01T00:00:00"), "wrong_type"),  # no zone: which moment is it?
        (changed(score_id=5), "wrong_type"),
        (without("source"), "missing_field"),
        (without("source.sequence"), "no_sequence"),
        (without("source.table"), "missing_field"),
        (without("op"), "missing_field"),
        (without("after"), "no_after"),
        (without("after.score_id"), "missing_field"),
        (without("after.criterion_id"), "missing_field"),
        (without("after.numeric_value"), "missing_field"),
        (changed().replace(b'"criterion_id"', b'"criterium"'), "missing_field"),
        (envelope("scores", "u", SCORE, None), "no_after"),
        (envelope("scores", "d", None, None), "no_before"),
        (envelope("scores", "d", {"score_id": ID}, None), "no_before"),
        (envelope("scores", "x", None, SCORE), "unknown_op"),
        (envelope("scores", "t", None, None), "unknown_op"),
        (envelope("elsewhere", "c", None, SCORE), "unknown_table"),
        (envelope("scores", "c", None, SCORE, sequence=None), "no_sequence"),
        (changed(score_id="not-a-uuid"), "bad_uuid"),
        (changed(scorecard_id=""), "bad_uuid"),
        (changed().replace(b"1.5", b"NaN"), "not_json"),
        (changed().replace(b"1.5", b"Infinity"), "not_json"),
    ],
)
def test_what_cannot_be_decoded_is_refused_with_its_reason(value: bytes, why: str) -> None:
    assert reason(value) == why


def test_a_neighbour_of_refused_messages_is_decoded() -> None:
    items = Decoder("scores").decode([b"{", changed(), None, changed(score_id="x"), changed()])
    assert isinstance(items[0], Refused)
    assert isinstance(items[1], Envelope)
    assert items[2] is None
    assert isinstance(items[3], Refused)
    assert isinstance(items[4], Envelope)


def test_changes_of_two_clusters_in_one_batch_have_their_own_epochs() -> None:
    # given an epoch that begins between two commits
    epochs = Epochs.parse(3, "2023-11-14T22:13:20.500Z")
    before, after = (envelope("scores", "c", None, SCORE, ts_ms=ts) for ts in (1_700_000_000_123, 1_700_000_000_900))
    first, second = Decoder("scores", epochs=epochs).decode([before, after])
    assert isinstance(first, Envelope)
    assert isinstance(second, Envelope)
    assert [epoch_of(each.version) for each in (first, second)] == [3, 4]


@pytest.mark.parametrize("neighbour", [b"{", changed()], ids=["beside a refused one", "beside a good one"])
@pytest.mark.parametrize(("sequence", "unordered"), [((None, 200), True), ((100, 200), False)])
def test_the_first_change_after_a_snapshot_tells_no_order(
    neighbour: bytes, sequence: tuple[int | None, int], unordered: bool
) -> None:
    item, _ = Decoder("scores").decode([envelope("scores", "c", None, SCORE, sequence=sequence), neighbour])
    assert isinstance(item, Envelope)
    assert item.unordered is unordered


def test_extra_columns_are_skipped() -> None:
    assert decoded(changed(added_later={"deep": [1, 2]})).after.score_id == ID


def test_a_comment_of_a_megabyte_is_kept() -> None:
    text = "ü" * (1 << 19)
    assert decoded(changed(comment=text)).after.comment == text


def test_numbers_as_text_and_quoted_nan_are_left_to_the_conversion() -> None:
    assert decoded(changed(numeric_value="1.5")).after.numeric_value == "1.5"
    assert decoded(changed(numeric_value="NaN")).after.numeric_value == "NaN"


def test_an_envelope_with_its_schema_is_unwrapped() -> None:
    wrapped = b'{"schema":{"type":"struct","fields":[]},"payload":' + changed() + b"}"
    assert decoded(wrapped).after.score_id == ID
    assert decoded(b'{"schema":null,"payload":null}') is None
    assert reason(b'{"schema":{},"payload":' + without("after.score_id") + b"}") == "missing_field"


def test_ids_keep_their_spelling_as_a_text_column_is_asked_by_it() -> None:
    item = decoded(changed(score_id=ID.replace("-", ""), scorecard_id=CARD.upper()))
    assert (item.after.score_id, item.after.scorecard_id) == (ID.replace("-", ""), CARD.upper())


def test_times_are_text_or_microseconds() -> None:
    text, number = decoded(changed()), decoded(changed().replace(f'"{iso(SCORE["updated_at"])}"'.encode(), b"5"))
    assert text.after.updated_at.isoformat() == "2026-01-01T00:00:00.123456+00:00"
    assert number.after.updated_at == 5


def test_a_before_image_that_is_not_full_is_accepted_in_an_update() -> None:
    item = decoded(envelope("scores", "u", {"score_id": ID}, SCORE))
    assert (item.before.scorecard_id, item.before.comment) == (None, None)


@pytest.mark.parametrize(
    ("snapshot", "incremental"), [("incremental", True), ("first", False), ("true", False), ("false", False)]
)
def test_which_reads_are_incremental(snapshot: str, incremental: bool) -> None:
    assert decoded(envelope("scores", "r", None, SCORE, snapshot=snapshot)).is_incremental is incremental


def test_scorecards_and_chats_have_their_own_ids() -> None:
    chat = {"conversation_id": "nope", "customer_id": "acme", "started_at": None}
    (refused,) = Decoder("chats").decode([envelope("chats", "c", None, chat)])
    assert isinstance(refused, Refused)
    assert refused.reason == "bad_uuid"
