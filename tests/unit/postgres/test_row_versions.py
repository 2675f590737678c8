"""Row versions: which of the seen rows changed, and the arrays that Postgres is asked with."""

from __future__ import annotations

import struct
from typing import Any

from stream.postgres.row_versions import _TidsDumper, _XidsDumper, changed

CTID, XMIN = b"\0\0\0\1\0\2", b"\0\0\3\4"


class FakeCursor:
    """Answers with these numbers; keeps the arrays."""

    def __init__(self, *changed: int) -> None:
        self.changed = changed
        self.adapters = self
        self.sent: Any = None

    def cursor(self, **_: Any) -> FakeCursor:
        return self

    def __enter__(self) -> FakeCursor:
        return self

    def __exit__(self, *_: object) -> None: ...

    def register_dumper(self, *_: Any) -> None: ...

    def execute(self, query: bytes, values: Any, **_: Any) -> list[tuple[int]]:
        self.sent = values
        return [(number,) for number in self.changed]


def test_scorecards_without_a_conversation_are_asked_last_and_named_by_their_place() -> None:
    # given three scorecards, of which the first has no conversation
    seen = [(b"c0", b"x0", None, None), (b"c1", b"x1", b"h1", b"y1"), (b"c2", b"x2", b"h2", b"y2")]
    cursor: Any = FakeCursor(3)
    # when the last one of the query has changed
    found = changed(cursor, "SELECT", seen, 5)
    # then that is the first, and the conversations' arrays are shorter
    assert found == [0]
    assert [list(each) for each in cursor.sent[:4]] == [
        [b"c1", b"c2", b"c0"], [b"x1", b"x2", b"x0"], [b"h1", b"h2"], [b"y1", b"y2"],
    ]  # fmt: skip


def test_nothing_seen_asks_nothing() -> None:
    cursor: Any = None
    assert changed(cursor, "SELECT", [], 0) == []


def test_an_array_is_in_the_binary_form_of_postgres() -> None:
    tids, xids = _TidsDumper(tuple), _XidsDumper(tuple)
    assert bytes(tids.dump((CTID, CTID))) == struct.pack(">iiIii", 1, 0, 27, 2, 1) + (struct.pack(">i", 6) + CTID) * 2
    assert bytes(xids.dump((XMIN,))) == struct.pack(">iiIii", 1, 0, 28, 1, 1) + struct.pack(">i", 4) + XMIN
    assert bytes(xids.dump(())) == struct.pack(">iiI", 0, 0, 28)
