"""One short history with every kind of message in it, played to the real connector and to the fake one.

    python -m tests.capture        plays it on the real stack and keeps the messages in tests/data/

tests/unit/pipeline/test_captured.py plays it to tests/fakes/ and holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

CHATS, CARDS, SCORES = "chats", "scorecards", "scores"
START = 1_767_225_600_123_456  # 2026-01-01
LARGE = "0123456789abcdef" * 160  # is TOASTed: above two kilobytes, and stored without compression


def chat(number: int) -> str:
    return f"c0000000-0000-4000-8000-{number:012d}"


def card(number: int) -> str:
    return f"5c000000-0000-4000-8000-{number:012d}"


def score(number: int) -> str:
    return f"50000000-0000-4000-8000-{number:012d}"


class Tx(Protocol):
    """A transaction; nothing of it is seen before `commit`."""

    def insert(self, table: str, row_id: str, **values: Any) -> None: ...
    def update(self, table: str, row_id: str, **values: Any) -> None: ...
    def delete(self, table: str, row_id: str) -> None: ...
    def commit(self) -> None: ...


class Source(Protocol):
    """Postgres and its connector."""

    def begin(self) -> Tx: ...
    def start(self) -> None:
        """The connector starts, and reads what is there."""
        ...

    def read(self, tables: Sequence[str]) -> None:
        """An incremental snapshot of these tables, one after another."""
        ...

    def replica_identity(self, *, full: bool) -> None:
        """Of scorecards."""
        ...

    def tombstones(self, *, on: bool) -> None:
        """After deletes, from now on."""
        ...


def play(source: Source) -> None:
    """Play it; returns when everything is committed, not when it is in Kafka."""
    _rows_before_the_connector(source)
    source.start()
    _plain_changes(source)
    _interleaved_commits(source)
    _incremental_snapshot(source)
    _changes_of_keys(source)
    _unchanged_toast(source)
    source.tombstones(on=True)
    _once(source, "delete", SCORES, score(3))
    _once(source, "update", SCORES, score(4), score_id=score(6))
    _once(source, "delete", CARDS, card(2))


def _rows_before_the_connector(source: Source) -> None:
    """Read by the initial snapshot: first, last, and those between."""
    tx = source.begin()
    tx.insert(CHATS, chat(1), started_at=START)
    tx.insert(CHATS, chat(2), started_at=None)
    tx.insert(CARDS, card(1), conversation_id=chat(1), score=1.5, submission_source=1)
    tx.insert(CARDS, card(2), conversation_id="", scorecard_time=START, comment=LARGE, submission_source=2)
    tx.insert(CARDS, card(3), scorecard_type=2, scorecard_time=START, comment="naïve “quotes”\n\t\\ \U0001f600")
    for number in (1, 2, 3):
        tx.insert(SCORES, score(number), scorecard_id=card(number), numeric_value=number / 3)
    tx.commit()


def _plain_changes(source: Source) -> None:
    tx = source.begin()
    tx.insert(CHATS, chat(3), started_at=START + 1)
    tx.insert(CARDS, card(4), conversation_id=chat(3))
    tx.insert(SCORES, score(4), scorecard_id=card(4), not_applicable=True)
    tx.commit()
    _once(source, "update", CHATS, chat(2), started_at=START + 2)
    _once(source, "update", CARDS, card(3), scorecard_type=None)
    _once(source, "update", SCORES, score(4), ai_value=0.25, updated_at=START)
    # a row that changes twice in a transaction, and one that comes and goes in it
    tx = source.begin()
    tx.update(SCORES, score(1), numeric_value=1.0)
    tx.update(SCORES, score(1), numeric_value=2.0)
    tx.insert(SCORES, score(5), scorecard_id=card(1))
    tx.delete(SCORES, score(5))
    tx.commit()
    _once(source, "delete", CHATS, chat(2))
    # and a cascade
    tx = source.begin()
    tx.insert(CARDS, card(5), scorecard_time=START)
    tx.insert(SCORES, score(5), scorecard_id=card(5))
    tx.commit()
    _once(source, "delete", CARDS, card(5))


def _interleaved_commits(source: Source) -> None:
    """The transaction that begins first commits last: its rows have the lower LSNs and the higher versions."""
    first, second = source.begin(), source.begin()
    first.update(CARDS, card(1), comment="written first, committed last")
    second.update(SCORES, score(1), comment="written last, committed first")
    second.commit()
    first.update(SCORES, score(2), comment="of the one that is committed last")
    first.commit()


def _incremental_snapshot(source: Source) -> None:
    """A row is changed before it is read and committed afterwards: what was read is older, and has the higher LSN."""
    open_already = source.begin()
    open_already.update(CARDS, card(1), comment="changed before it was read, committed afterwards")
    source.read([CHATS, CARDS, SCORES])
    open_already.commit()


def _changes_of_keys(source: Source) -> None:
    _once(source, "update", SCORES, score(2), score_id=score(7))
    _once(source, "update", SCORES, score(7), scorecard_id=card(1), comment="moved")
    _once(source, "update", SCORES, score(7), scorecard_id=card(2), score_id=score(2))
    tx = source.begin()
    tx.insert(CARDS, card(6), scorecard_time=START)
    tx.commit()
    _once(source, "update", CARDS, card(6), scorecard_id=card(7))
    _once(source, "update", CHATS, chat(3), conversation_id=chat(4))


def _unchanged_toast(source: Source) -> None:
    """With the before-image whole, and without."""
    _once(source, "update", CARDS, card(2), score=2.5)
    source.replica_identity(full=False)
    _once(source, "update", CARDS, card(2), score=3.5)
    _once(source, "delete", CARDS, card(7))
    source.replica_identity(full=True)


def _once(source: Source, what: str, table: str, row_id: str, **values: Any) -> None:
    tx = source.begin()
    getattr(tx, what)(table, row_id, **values)
    tx.commit()
