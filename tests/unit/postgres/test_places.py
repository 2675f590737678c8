"""Look-ups of places; tests/contract/test_source.py holds them against a real Postgres and the fake one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream.postgres.places import _are_bare, _Looked, _quoted

CARD, GRADED = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"


def test_only_a_scorecard_with_its_conversation_may_be_trusted_by_its_row_version() -> None:
    # given a process scorecard, and a graded one whose conversation has no row yet
    rows = [
        (1, "acme", None, True, None, 5, b"t", b"x", None, None),
        (2, "acme", None, False, None, 5, b"t", b"y", None, None),
    ]
    connection: Any = None
    looked = _Looked(connection, [CARD, GRADED], rows)
    # when both are expected where they were seen
    ids, seen = looked.seen(dict(looked))
    # then the waiting one must be looked up again: no row version shows that its conversation has arrived
    assert ids == [CARD]
    assert seen == [(b"t", b"x", None, None)]
    assert looked.files == 5


@given(st.text())
def test_an_id_in_an_array_literal_stays_one_element(text: str) -> None:
    if not _are_bare([text]):
        literal = _quoted(text)
        inner = literal[1:-1].replace("\\\\", "").replace('\\"', "")
        assert '"' not in inner
        assert "\\" not in inner
