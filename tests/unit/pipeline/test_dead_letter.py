"""A refused message -> a dead letter that keeps it whole, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import Refused
from stream.pipeline.dead_letter import DeadLetter, Message, parse

HEADERS = st.lists(
    st.tuples(
        st.text(max_size=10).filter(lambda name: not name.startswith("scorestream.")),
        st.one_of(st.none(), st.binary(max_size=10)),
    ),
    max_size=4,
).map(tuple)


def as_message(letter: DeadLetter) -> Message:
    """The record that stands in the dead-letter topic."""
    return Message("dead", 0, 7, 1, letter.message.key, letter.message.value, letter.headers)


@given(st.one_of(st.none(), st.binary()), st.one_of(st.none(), st.binary()), HEADERS, st.text(max_size=50))
def test_a_message_comes_back_byte_for_byte(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...], error: str
) -> None:
    message = Message("t.app.scores", 3, 99, 1_700_000_000_000, key, value, headers)
    letter = DeadLetter.of(message, Refused("not_json", error), now_ms=5)
    assert parse(as_message(letter)) == letter
    assert parse(as_message(letter)).message == message


def test_a_letter_that_was_refused_again_says_the_last_reason() -> None:
    message = Message("t.app.scores", 3, 99, 0, b"k", b"v", (("mine", b"1"),))
    first = DeadLetter.of(message, Refused("not_json", "first"), now_ms=5)
    again = Message("t.app.scores", 3, 120, 0, b"k", b"v", first.headers)
    second = parse(as_message(DeadLetter.of(again, Refused("bad_uuid", "second"), now_ms=6)))
    assert (second.reason, second.error, second.message.offset) == ("bad_uuid", "second", 120)
    assert second.message.headers == (("mine", b"1"),)


def test_a_long_error_is_cut() -> None:
    letter = DeadLetter.of(Message("t", 0, 0, 0, None, None), Refused("wrong_type", "x" * 5000), now_ms=0)
    assert len(letter.error) == 1000


@pytest.mark.parametrize("missing", ["topic", "offset", "reason", "refused_at_ms"])
def test_a_message_without_the_headers_is_no_dead_letter(missing: str) -> None:
    letter = DeadLetter.of(Message("t", 0, 0, 0, None, b"v"), Refused("wrong_type", "x"), now_ms=0)
    headers = tuple(header for header in letter.headers if header[0] != f"scorestream.{missing}")
    with pytest.raises(Refused) as refused:
        parse(Message("dead", 0, 0, 0, None, b"v", headers))
    assert refused.value.reason == "no_dead_letter"
