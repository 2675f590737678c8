"""Debezium in memory: snapshots, streaming, incremental windows, envelopes as the real one writes them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from stream.tables import CHATS, SOURCES
from tests.fakes.log import FakeLog
from tests.fakes.postgres import Change, Commit, FakePostgres
from tests.fakes.rows import _DEFAULTS, PRIMARY_KEY, TIMES, Row

_TOAST_BYTES = 2_000  # about; longer texts are stored apart


# What a column that may not be NULL has in a before-image that does not hold it.
_BLANK: dict[str, Row] = {
    table: {name: None if value is None else 0 if name in TIMES else "" for name, value in row.items()}
    for table, row in _DEFAULTS.items()
}


class FakeDebezium:
    """Turns the WAL into messages, in the order of commits, with Debezium's `source.sequence`.

    Args:
        score_key: of the scores topic. With the scorecard in it (message.key.columns) a score that moves is a delete
            and a create, each in the partition of its scorecard. Without it, one update.
        tombstones: after each delete.
        toast: asked for each update whose comment did not change: "" = the event has it; "after" = a placeholder stands
            for it; "both" = also in the before-image.
    """

    def __init__(
        self,
        postgres: FakePostgres,
        log: FakeLog,
        *,
        score_key: tuple[str, ...] = ("scorecard_id", "score_id"),
        tombstones: bool = False,
        toast: Callable[[], str] = lambda: "",
    ) -> None:
        self.postgres = postgres
        self.log = log
        self.tombstones = tombstones
        self.full = dict.fromkeys(SOURCES, True)  # replica identity
        self._toast = toast
        self.read = 0  # commits of the WAL that are in Kafka
        self._sent: list[list[tuple[str, str, bytes, bytes | None]]] = []
        self._keys = {table: (PRIMARY_KEY[table],) for table in SOURCES} | {"scores": score_key}
        self._first = True
        self.clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)
        self._xid: int | None = None  # of the commit that is streamed
        self._window: dict[tuple[str, bytes], Row] | None = None

    @property
    def behind(self) -> int:
        """Commits that are not in Kafka yet."""
        return len(self.postgres.wal) - self.read

    def stream(self, commits: int | None = None) -> None:
        """Emit the next commits, or all."""
        end = len(self.postgres.wal) if commits is None else min(self.read + commits, len(self.postgres.wal))
        while self.read < end:
            commit = self.postgres.wal[self.read]
            self.read += 1
            # Until it has seen a commit the connector does not know the last one's LSN.
            previous = None if self._first else commit.previous
            self._first = False
            self._drop_from_window(commit)
            self._xid = commit.xid
            sent = [item for change in commit.changes for item in self._messages(change, previous)]
            self._sent.append(sent)
            for item in sent:
                self.log.append(*item)

    def resend(self, commits: int) -> None:
        """A restart: the last transactions come again, unchanged."""
        for sent in self._sent[-commits:] if commits else []:
            for item in sent:
                self.log.append(*item)

    def repeat(self, number: int) -> None:
        """Messages of one transaction that was streamed before come again, however late: a copied message."""
        if self._sent:
            for item in self._sent[number % len(self._sent)]:
                self.log.append(*item)

    def recover(self, *, keeps_slot: bool) -> None:
        """After a fail over: go on with the slot, or with one that was made now, from an offset of an LSN alone."""
        self._window, self._sent = None, []
        if not keeps_slot:
            self.read, self._first = len(self.postgres.wal), True

    def initial_snapshot(self) -> None:
        """Read all tables at the present LSN; what is committed so far is not streamed.

        Transactions that are open are streamed whole when they commit, with LSNs below the snapshot's.
        """
        assert not self.postgres.flushed, "the snapshot sees every commit that is not streamed"
        self.read = len(self.postgres.wal)
        self._first = True
        at = self.postgres.lsn
        rows = [(table, row) for table in SOURCES for row in self.postgres.rows[table].values()]
        for (table, row), mark in zip(rows, _snapshot_marks([table for table, _ in rows]), strict=True):
            change = Change(at, table, "r", None, row)
            self.log.append(*self._message(change, "r", None, row, sequence=(None, at), snapshot=mark))

    def _drop_from_window(self, commit: Commit) -> None:
        for change in commit.changes if self._window else ():
            for row in (change.before, change.after):
                if row is not None:
                    self._window.pop((change.table, self._key(change.table, row)), None)

    def open_window(self) -> None:
        """An incremental snapshot's low watermark."""
        self.postgres.commit_nothing()
        self.stream()
        self._window = {}

    def read_chunk(self, table: str) -> None:
        """The SELECT of an incremental snapshot, between its watermarks."""
        assert self._window is not None
        for row in self.postgres.rows[table].values():
            self._window[table, self._key(table, row)] = row

    def close_window(self) -> None:
        """The high watermark: rows that changed inside of the window are dropped, the others are emitted."""
        assert self._window is not None
        self.stream()
        window, self._window = self._window, None
        # They are emitted while the watermark's own insert is read, so before its commit.
        sequence = (self.postgres.last_commit, self.postgres.next_lsn())
        for (table, _), row in window.items():
            change = Change(sequence[1], table, "r", None, row)
            self.log.append(*self._message(change, "r", None, row, sequence=sequence, snapshot="incremental"))
        self.postgres.commit_nothing()
        self.stream()

    def _messages(self, change: Change, previous: int | None) -> Iterator[tuple[str, str, bytes, bytes | None]]:
        sequence = (previous, change.lsn)
        before, after = change.before, change.after
        if change.op == "u" and self._key(change.table, before) != self._key(change.table, after):
            yield self._message(change, "d", before, None, sequence=sequence)
            if self.tombstones:
                yield (*self._message(change, "d", before, None, sequence=sequence)[:3], None)
            yield self._message(change, "c", None, after, sequence=sequence)
            return
        if change.op == "u" and before is not None and after is not None and self._may_toast(before, after):
            where = self._toast()
            if where:
                after = after | {"comment": "__debezium_unavailable_value"}
            if where == "both":
                before = before | {"comment": "__debezium_unavailable_value"}
        if not self.full[change.table]:
            before, after = self._without_old_row(change, before, after)
        yield self._message(change, change.op, before, after, sequence=sequence)
        if change.op == "d" and self.tombstones:
            yield (*self._message(change, "d", before, None, sequence=sequence)[:3], None)

    def _without_old_row(self, change: Change, before: Row | None, after: Row | None) -> tuple[Row | None, Row | None]:
        """The images where the WAL has only the old row's key: for a delete the key, and blanks."""
        if before is not None and after is not None:
            large = self._may_toast(before, after) and len(before["comment"]) > _TOAST_BYTES
            return None, after | {"comment": "__debezium_unavailable_value"} if large else after
        if change.op == "d" and before is not None:
            blank = _BLANK[change.table]
            before = {
                name: value if name in self._keys[change.table] else blank[name] for name, value in before.items()
            }
        return before, after

    @staticmethod
    def _may_toast(before: Row, after: Row) -> bool:
        return bool(before.get("comment")) and before["comment"] == after["comment"]

    def _key(self, table: str, row: Row | None) -> bytes:
        assert row is not None
        return json.dumps({name: row[name] for name in self._keys[table]}).encode()

    def _message(
        self,
        change: Change,
        op: str,
        before: Row | None,
        after: Row | None,
        *,
        sequence: tuple[int | None, int],
        snapshot: str = "false",
    ) -> tuple[str, str, bytes, bytes]:
        row = after if after is not None else before
        assert row is not None
        streamed = {}
        if snapshot == "incremental":
            streamed = {"ts_ms": self.clock_ms()}
        elif snapshot == "false" and self._xid is not None:
            streamed = {"txId": self._xid, "ts_ms": self.clock_ms()}
        value = envelope(change.table, op, before, after, sequence=sequence, snapshot=snapshot, **streamed)
        routed_by = row["conversation_id" if change.table == CHATS else "scorecard_id"]
        return change.table, routed_by, self._key(change.table, row), value


def _snapshot_marks(tables: Sequence[str]) -> list[str]:
    """`source.snapshot` of the rows of an initial snapshot, given the table of each."""
    marks = ["true"] * len(tables)
    for at in range(len(tables)):
        if at == 0 or tables[at - 1] != tables[at]:
            marks[at] = "first_in_data_collection"
        if at == len(tables) - 1 or tables[at + 1] != tables[at]:
            marks[at] = "last_in_data_collection"
    if marks:
        marks[0], marks[-1] = "first", "last"
    return marks


def envelope(
    table: str,
    op: str,
    before: Row | None,
    after: Row | None,
    *,
    sequence: tuple[int | None, int] | None = (100, 200),
    snapshot: str = "false",
    **source: Any,
) -> bytes:
    """A message's value as Debezium 3.6 with schemas.enable=false writes it; times are given as microseconds."""
    texts = None if sequence is None else [None if lsn is None else str(lsn) for lsn in sequence]
    # A row that an incremental snapshot read carries no LSN of its own.
    lsn = None if sequence is None or snapshot == "incremental" else sequence[1]
    return json.dumps(
        {
            "before": _wire(before),
            "after": _wire(after),
            "source": {
                "version": "3.6.3.Final",
                "connector": "postgresql",
                "name": "t",
                "ts_ms": 1_700_000_000_123,
                "snapshot": snapshot,
                "db": "postgres",
                "sequence": None if texts is None else json.dumps(texts, separators=(",", ":")),
                "ts_us": 1_700_000_000_123_456,
                "ts_ns": 1_700_000_000_123_456_000,
                "schema": "app",
                "table": table,
                "txId": None if lsn is None else 778,
                "lsn": lsn,
                "xmin": None,
                "origin": None,
                "origin_lsn": None,
            }
            | source,
            "transaction": None,
            "op": op,
            "ts_ms": 1_700_000_000_200,
            "ts_us": 1_700_000_000_200_000,
            "ts_ns": 1_700_000_000_200_000_000,
        },
        separators=(",", ":"),
    ).encode()


INFINITY = 2**63 - 1  # as a look-up in Postgres returns it


def _wire(row: Row | None) -> Row | None:
    if row is None:
        return None
    return {name: iso(value) if name in TIMES and isinstance(value, int) else value for name, value in row.items()}


@lru_cache(4096)
def iso(time_us: int) -> str:
    """A time as Debezium's ZonedTimestamp; the highest number stands for infinity."""
    if time_us == INFINITY:
        return "infinity"
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
