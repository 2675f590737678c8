"""The replication slot and the heartbeat row, from the answers of Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stream.monitor.canary import SeenBeat
from stream.monitor.sources import slot as module
from stream.monitor.sources.slot import SlotSource


class FakePostgres:
    """Answers for the slot and for the heartbeat."""

    slot = publication = "scorestream"
    schema = "app"

    def __init__(self, row: tuple[Any, ...] | None, beat: tuple[Any, ...] | None) -> None:
        self.row = row
        self.beat = beat
        self.locks: list[tuple[Any, ...]] = []
        self.asked: list[str] = []

    def table(self, name: str) -> str:
        return name

    @contextmanager
    def asking(self, _what: str) -> Iterator[Any]:
        yield self

    def execute(self, query: str, values: Any = None) -> Any:
        self.asked.append(query)
        self.answer = self.row if "pg_replication_slots" in query else self.beat
        return self

    def fetchone(self) -> Any:
        return self.answer

    def fetchall(self) -> Any:
        return self.locks


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The schemas of which the publication was looked at; it leaves out one table."""
    found: list[str] = []

    def unstreamed(_connection: Any, _publication: str, schema: str) -> tuple[str, ...]:
        found.append(schema)
        return ("chats",)

    monkeypatch.setattr(module, "unstreamed", unstreamed)
    monkeypatch.setattr(module, "is_readable", lambda *_: True)
    return found


def read(row: tuple[Any, ...] | None, beat: tuple[Any, ...] | None = None) -> Any:
    postgres: Any = FakePostgres(row, beat)
    return SlotSource(postgres).read()


def test_an_active_slot_is_inactive_since_never() -> None:
    slot, beat, _ = read((True, "reserved", None, 2_000, 3_000, 99.0, None), (7, 100.5))
    assert (slot.lag_bytes, slot.retained_bytes, slot.safe_bytes, slot.inactive_since) == (2_000, 3_000, None, None)
    assert beat == SeenBeat(beat=7, at=100.5)


def test_a_slot_without_positions_lags_by_nothing() -> None:
    slot, _, _ = read((False, "lost", 5, None, -8, 99.0, "wal_removed"))
    assert (slot.lag_bytes, slot.retained_bytes, slot.inactive_since, slot.invalid) == (0, 0, 99.0, "wal_removed")


def test_a_missing_slot_and_a_missing_beat_are_none() -> None:
    assert read(None) == (None, None, ())


def test_a_table_that_cannot_be_read_has_no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_readable", lambda *_: False)
    assert read(None, (7, 100.5)) == (None, None, ())


def test_the_publication_is_looked_at_seldom_and_told_each_time(looks: list[str]) -> None:
    postgres: Any = FakePostgres((True, "reserved", None, 2_000, 3_000, None, None), None)
    source = SlotSource(postgres)
    found = [source.read()[0] for _ in range(6)]
    assert [slot is not None and slot.unpublished for slot in found] == [("chats",)] * 6
    assert looks == ["app", "app"]


def test_a_locked_table_is_read_and_nothing_that_would_wait_for_it_is_asked(looks: list[str]) -> None:
    # given a look while nothing is locked
    postgres: Any = FakePostgres((True, "reserved", None, 2_000, 3_000, None, None), (7, 100.5))
    source = SlotSource(postgres)
    source.read()
    # when the scorecards are locked, then the lock is in the reading, and the beat goes on
    postgres.beat, postgres.locks = (8, 101.5), [("app.scorecards", 41, "psql", "dba", 0.0)]
    found = [source.read() for _ in range(6)]
    assert {(each.locks[0].pid, each.beat and each.beat.beat) for each in found} == {(41, 8)}
    assert found[0].slot is not None
    assert found[0].slot.unpublished == ("chats",)
    assert looks == ["app"]
    # when the heartbeat is locked, then the last beat stays
    postgres.beat, postgres.locks = (9, 102.5), [("app.scorestream_heartbeat", 41, "psql", "dba", 0.0)]
    assert source.read().beat == SeenBeat(beat=8, at=101.5)
