"""Postgres, Debezium, Kafka's log, ClickHouse and the dead-letter topic in memory, as exact as the pipeline can tell.

They fit the pipeline's Protocols. Every call that would leave the process announces itself first: `on_call(name)` is
where a test steps in (changes Postgres, runs another batch, raises).
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from stream.pipeline.dead_letter import DeadLetter, Message
from stream.pipeline.placement import GONE, Place, place_of
from stream.pipeline.reindex import Snapshot, Standing
from stream.pipeline.writes import Key, Writes
from stream.tables import CHATS, SCORE, SCORECARD, SOURCES, TARGETS, Table

Row = dict[str, Any]
OnCall = Callable[[str], None]

PRIMARY_KEY = {CHATS: "conversation_id", "scorecards": "scorecard_id", "scores": "score_id"}
TIMES = {"started_at", "ended_at", "scorecard_time", "submitted_at", "created_at", "updated_at"}
DAY_US = 86_400_000_000
APPEAL_TYPES = (1, 2, 3)
_TOAST_BYTES = 2_000  # about; longer texts are stored apart

_DEFAULTS: dict[str, Row] = {
    CHATS: {"customer_id": "acme", "agent_user_id": None, "started_at": None, "ended_at": None},
    "scorecards": {
        "customer_id": "acme",
        "template_id": "00000000-0000-4000-8000-00000000007e",
        "conversation_id": None,
        "agent_user_id": None,
        "scorecard_type": None,
        "submission_source": None,
        "scorecard_time": None,
        "submitted_at": None,
        "score": None,
        "comment": None,
        "created_at": 0,
        "updated_at": 0,
    },
    "scores": {
        "criterion_id": "00000000-0000-4000-8000-0000000000c1",
        "numeric_value": None,
        "ai_value": None,
        "not_applicable": False,
        "comment": None,
        "updated_at": 0,
    },
}

# What a column that may not be NULL has in a before-image that does not hold it.
_BLANK: dict[str, Row] = {
    table: {name: None if value is None else 0 if name in TIMES else "" for name, value in row.items()}
    for table, row in _DEFAULTS.items()
}


def nothing(_name: str) -> None:
    """The hook that does nothing."""


def row_of(table: str, row_id: str, **values: Any) -> Row:
    """A whole row, of which only some values are said."""
    return {PRIMARY_KEY[table]: row_id} | _DEFAULTS[table] | values


class Locked(Exception):
    """Another transaction holds the row; a real session would wait for it."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row change in the WAL."""

    lsn: int
    table: str
    op: str
    before: Row | None
    after: Row | None

    @property
    def row(self) -> Row:
        found = self.before if self.after is None else self.after
        assert found is not None
        return found


@dataclass(frozen=True, slots=True)
class Commit:
    """A committed transaction: what logical decoding hands out, in the order of commits."""

    lsn: int
    previous: int | None  # LSN of the commit before it, of any transaction
    changes: tuple[Change, ...]


class FakePostgres:
    """chats, scorecards, scores (deleted with their scorecard), transactions with row locks, and the WAL."""

    def __init__(self, *, on_call: OnCall = nothing) -> None:
        self.on_call = on_call
        self.rows: dict[str, dict[str, Row]] = {table: {} for table in SOURCES}
        self.lsn = 1_000
        self.last_commit: int | None = None
        self.wal: list[Commit] = []
        self.locks: dict[tuple[str, str], Transaction] = {}
        self.xid = 700  # of the next transaction that writes
        self.running: set[int] = set()
        self.xmin: dict[tuple[str, str], int] = {}  # the transaction that wrote the row as it is
        self.horizons: list[tuple[int, int]] = []  # (all below had ended, none from here on had begun), at some moments
        self.shares: dict[str, set[Transaction]] = defaultdict(set)  # scorecard id -> who holds FOR KEY SHARE
        self.calls: Counter[str] = Counter()

    def begin(self) -> Transaction:
        return Transaction(self)

    def insert(self, table: str, row_id: str, **values: Any) -> None:
        """A transaction of one statement."""
        with self.begin() as tx:
            tx.insert(table, row_id, **values)

    def update(self, table: str, row_id: str, **values: Any) -> None:
        with self.begin() as tx:
            tx.update(table, row_id, **values)

    def delete(self, table: str, row_id: str) -> None:
        with self.begin() as tx:
            tx.delete(table, row_id)

    def next_lsn(self) -> int:
        self.lsn += 16
        return self.lsn

    def commit_nothing(self) -> int:
        """A commit of another table (a watermark, a heartbeat): it moves the LSN of the last commit."""
        self.wal.append(Commit(self.next_lsn(), self.last_commit, ()))
        self.last_commit = self.lsn
        return self.lsn

    def note_horizon(self) -> None:
        """What the connector does every second."""
        self.horizons.append((min(self.running, default=self.xid), self.xid))

    # What the pipeline asks (its Source).

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        self._call("places")
        return self._places(ids)

    def owners(self, ids: Sequence[str]) -> dict[str, str]:
        return {scorecard_id: place.customer_id for scorecard_id, place in self.places(ids).items()}

    def moved(self, expected: Mapping[str, Place], looked: Mapping[str, Place]) -> dict[str, Place]:
        now = self.places(list(expected))
        return {i: now.get(i, GONE) for i, place in expected.items() if now.get(i, GONE) != place}

    def scorecards_of(self, conversations: Sequence[str]) -> list[tuple[str, str, bool]]:
        self._call("scorecards_of")
        wanted = set(conversations)
        return [
            (row["conversation_id"], scorecard_id, self._covered(scorecard_id, row["conversation_id"]))
            for scorecard_id, row in self.rows["scorecards"].items()
            if row["conversation_id"] in wanted
        ]

    def _covered(self, scorecard_id: str, conversation_id: str) -> bool:
        if (chat := self.xmin.get((CHATS, conversation_id))) is None:
            return False
        later = min((begun for ended, begun in self.horizons if ended > chat), default=self.xid)
        rows = [("scorecards", scorecard_id)]
        rows += [("scores", i) for i, row in self.rows["scores"].items() if row["scorecard_id"] == scorecard_id]
        return all(self.xmin[row] == chat or self.xmin[row] >= later for row in rows)

    def snapshot(self, ids: Sequence[str]) -> Snapshot:
        self._call("snapshot")
        wanted = set(ids)
        return Snapshot(
            self._places(ids),
            {
                table.target: [
                    (row["scorecard_id"], *(row[column.name] for column in table.columns))
                    for row in self.rows[table.source].values()
                    if row["scorecard_id"] in wanted
                ]
                for table in TARGETS
            },
        )

    def _call(self, name: str) -> None:
        self.on_call(name)
        self.calls[name] += 1

    def _places(self, ids: Sequence[str]) -> dict[str, Place]:
        found = {}
        for scorecard_id in ids:
            row = self.rows["scorecards"].get(scorecard_id)
            if row is not None:
                found[scorecard_id] = place_of(
                    customer_id=row["customer_id"],
                    scorecard_type=row["scorecard_type"],
                    process=not row["conversation_id"],
                    event_time_us=self.event_time(row),
                )
        return found

    def event_time(self, scorecard: Row) -> int | None:
        """Of a process scorecard its own time, of another one its conversation's start."""
        if not scorecard["conversation_id"]:
            return scorecard["scorecard_time"]
        chat = self.rows[CHATS].get(scorecard["conversation_id"])
        return None if chat is None else chat["started_at"]

    def expected(self, table: Table) -> list[tuple[Any, ...]]:
        """The query that defines `<target>_current`: its columns in order, UUIDs and times as ints; sorted."""
        found = []
        for row in self.rows[table.source].values():
            card = self.rows["scorecards"][row["scorecard_id"]]
            time_us = self.event_time(card)
            if card["scorecard_type"] not in (None, 0) or time_us is None:
                continue
            placed = (
                card["customer_id"],
                UUID(card["scorecard_id"]).int,
                time_us,
                not card["conversation_id"],
            )
            found.append((*placed, *(_stored(column.kind, row[column.name]) for column in table.columns)))
        return sorted(found, key=repr)


def _stored(kind: str, value: Any) -> Any:
    return (UUID(value).int if value else None) if kind == "uuid" else value


class Transaction:
    """READ COMMITTED: sees what is committed and its own changes; rows that it changed are locked until its end."""

    def __init__(self, postgres: FakePostgres) -> None:
        self._postgres = postgres
        self._own: dict[tuple[str, str], Row | None] = {}
        self._changes: list[Change] = []
        self._xid: int | None = None  # from the first change on

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    def row(self, table: str, row_id: str) -> Row | None:
        """The row as this transaction sees it."""
        if (table, row_id) in self._own:
            return self._own[table, row_id]
        return self._postgres.rows[table].get(row_id)

    def insert(self, table: str, row_id: str, **values: Any) -> None:
        self._lock(table, row_id)
        assert self.row(table, row_id) is None, "duplicate key"
        row = row_of(table, row_id, **values)
        if table == "scores":
            self._share(row["scorecard_id"])
        self._log(table, "c", row_id, None, row)

    def update(self, table: str, row_id: str, **values: Any) -> None:
        self._lock(table, row_id)
        before = self.row(table, row_id)
        assert before is not None
        if table == "scores" and values.get("scorecard_id", before["scorecard_id"]) != before["scorecard_id"]:
            self._share(values["scorecard_id"])
        after = before | values
        if after[PRIMARY_KEY[table]] != row_id:
            if table == "scorecards" and self._postgres.shares[row_id] - {self}:
                raise Locked
            self._lock(table, after[PRIMARY_KEY[table]])
            assert self.row(table, after[PRIMARY_KEY[table]]) is None, "duplicate key"
            self._own[table, row_id] = None
        self._log(table, "u", after[PRIMARY_KEY[table]], before, after)

    def delete(self, table: str, row_id: str) -> None:
        """Delete a row; the scores of a scorecard go with it."""
        self._lock(table, row_id)
        scores: list[str] = []
        if table == "scorecards":
            if self._postgres.shares[row_id] - {self}:
                raise Locked
            scores = self.scores_of(row_id)
            for score_id in scores:
                self._lock("scores", score_id)
        before = self.row(table, row_id)
        assert before is not None
        self._log(table, "d", row_id, before, None)
        for score_id in scores:
            self._log("scores", "d", score_id, self.row("scores", score_id), None)

    def scores_of(self, scorecard_id: str) -> list[str]:
        """Ids of its scores as this transaction sees them."""
        return [
            i for i in self._ids("scores") if (row := self.row("scores", i)) and row["scorecard_id"] == scorecard_id
        ]

    def commit(self) -> None:
        pg = self._postgres
        if self._changes:
            pg.wal.append(Commit(pg.next_lsn(), pg.last_commit, tuple(self._changes)))
            pg.last_commit = pg.lsn
            for (table, row_id), row in self._own.items():
                if row is None:
                    pg.rows[table].pop(row_id, None)
                    pg.xmin.pop((table, row_id), None)
                else:
                    pg.rows[table][row_id] = row
                    pg.xmin[table, row_id] = self._xid
        self.rollback()

    def rollback(self) -> None:
        """Give the locks back and forget the rest."""
        pg = self._postgres
        pg.locks = {row: holder for row, holder in pg.locks.items() if holder is not self}
        for holders in pg.shares.values():
            holders.discard(self)
        pg.running.discard(self._xid)
        self._own, self._changes, self._xid = {}, [], None

    def _ids(self, table: str) -> list[str]:
        return list(dict.fromkeys([*self._postgres.rows[table], *(i for t, i in self._own if t == table)]))

    def _lock(self, table: str, row_id: str) -> None:
        if self._postgres.locks.setdefault((table, row_id), self) is not self:
            raise Locked

    def _share(self, scorecard_id: str) -> None:
        holder = self._postgres.locks.get(("scorecards", scorecard_id))
        if holder not in (None, self) and not (
            # An update of columns that are no key leaves FOR KEY SHARE to others.
            holder._own.get(("scorecards", scorecard_id)) and scorecard_id in self._postgres.rows["scorecards"]
        ):
            raise Locked
        assert self.row("scorecards", scorecard_id) is not None, "foreign key"
        self._postgres.shares[scorecard_id].add(self)

    def _log(self, table: str, op: str, row_id: str, before: Row | None, after: Row | None) -> None:
        if self._xid is None:
            self._xid = self._postgres.xid
            self._postgres.xid += 1
            self._postgres.running.add(self._xid)
        self._own[table, row_id] = after
        self._changes.append(Change(self._postgres.next_lsn(), table, op, before, after))


class FakeLog:
    """Topics of Kafka: one for each source table, all with the same number of partitions."""

    def __init__(self, *, partitions: int = 1, prefix: str = "t.app.") -> None:
        self.prefix = prefix
        self.count = partitions
        self.partitions: dict[tuple[str, int], list[Message]] = {
            (table, number): [] for table in SOURCES for number in range(partitions)
        }

    def append(self, table: str, routed_by: str, key: bytes | None, value: bytes | None) -> Message:
        """Append a message; `routed_by` chooses the partition."""
        number = zlib.crc32(routed_by[::-1].encode()) % self.count
        log = self.partitions[table, number]
        message = Message(self.prefix + table, number, len(log), 1_700_000_000_000, key, value)
        log.append(message)
        return message

    def batch(self, table: str, number: int = 0, start: int = 0, end: int | None = None) -> FakeFetched:
        return FakeFetched(self.partitions[table, number][start:end], table, number)

    def all_of(self, table: str) -> list[FakeFetched]:
        return [self.batch(table, number) for number in range(self.count)]


@dataclass(slots=True)
class FakeFetched:
    """Messages of one partition, not always in a row."""

    messages: Sequence[Message]
    table: str = ""
    partition: int = 0
    whole: list[int] = field(default_factory=list)  # indexes that were asked for whole

    @property
    def topic(self) -> str:
        return self.messages[0].topic if self.messages else self.table

    @property
    def values(self) -> list[bytes | None]:
        return [message.value for message in self.messages]

    @property
    def keys(self) -> list[bytes | None]:
        return [message.key for message in self.messages]

    def message(self, index: int) -> Message:
        self.whole.append(index)
        return self.messages[index]


class FakeDebezium:
    """Turns the WAL into messages, in the order of commits, with Debezium's `source.sequence`.

    Args:
        score_key: of the scores topic. With the scorecard in it (message.key.columns) a score that moves to another
            scorecard is a delete and a create, each in the partition of its scorecard; without, one update.
        tombstones: after each delete.
        toast: asked for each update whose comment did not change: "" = the event has it; "after" = a placeholder
            stands for it; "both" = also in the before-image.
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
            sent = [item for change in commit.changes for item in self._messages(change, previous)]
            self._sent.append(sent)
            for item in sent:
                self.log.append(*item)

    def resend(self, commits: int) -> None:
        """A restart: the last transactions come again, unchanged."""
        for sent in self._sent[-commits:] if commits else []:
            for item in sent:
                self.log.append(*item)

    def initial_snapshot(self) -> None:
        """Read all tables at the present LSN; what is committed so far is not streamed."""
        assert not self.postgres.locks, "the slot is consistent when no transaction is open"
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
        """The images where the WAL has no more of the old row than its key: of a delete that, and blanks."""
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
        value = envelope(change.table, op, before, after, sequence=sequence, snapshot=snapshot)
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


def _wire(row: Row | None) -> Row | None:
    if row is None:
        return None
    return {name: iso(value) if name in TIMES and isinstance(value, int) else value for name, value in row.items()}


@lru_cache(4096)
def iso(time_us: int) -> str:
    """A time as Debezium's ZonedTimestamp."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True)
class _State:
    """The state that a ReplacingMergeTree keeps of one sort key in one ClickHouse partition."""

    version: int
    deleted: int
    row: tuple[Any, ...]


class FakeClickHouse:
    """Shards of ReplacingMergeTree, always merged: the highest version wins, of equal ones the last inserted."""

    def __init__(self, *, shards: int = 2, on_call: OnCall = nothing) -> None:
        self.on_call = on_call
        self.shards = shards
        self.states: dict[Key, _State] = {}
        self.by_scorecard: dict[int, set[Key]] = defaultdict(set)
        self.rows_written = 0
        self.calls: Counter[str] = Counter()
        self.order: Callable[[list[Any]], list[Any]] = lambda inserts: inserts  # in which inserts of a write arrive

    def write(self, writes: Writes) -> None:
        for shard, table, columns in self.order(list(writes)):
            self._call("write")
            assert 0 <= shard < self.shards
            assert len(columns) == len(table.insert_columns)
            for row in zip(*columns, strict=True):
                self._insert(shard, table, row)

    def standing(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]:
        found: list[Standing] = []
        numbers = [UUID(scorecard_id).int for scorecard_id in ids]
        if not ids or (customers is not None and not customers):
            return found
        for shard in range(self.shards):
            for table in TARGETS:
                self._call("standing")
                for number in numbers:
                    for key in self.by_scorecard[number]:
                        state = self.states[key]
                        if (key.shard, key.table) != (shard, table.target) or state.deleted:
                            continue
                        if customers is None or key.customer_id in customers:
                            found.append(Standing(key, state.row[2], state.version))
        return found

    def written(self, versions: Collection[int]) -> list[tuple[str, str, int]]:
        self._call("written")
        return sorted(
            {
                (str(UUID(int=key.scorecard_id)), key.customer_id, state.version)
                for key, state in self.states.items()
                if state.version in versions and not state.deleted
            }
        )

    def visible(self, table: Table) -> list[tuple[Any, ...]]:
        """What `<target>_current` shows on all shards; columns as `FakePostgres.expected`; sorted."""
        rows = [state.row[:-2] for key, state in self.states.items() if key.table == table.target and not state.deleted]
        return sorted(rows, key=repr)

    def visible_keys(self) -> list[Key]:
        return [key for key, state in self.states.items() if not state.deleted]

    def _call(self, name: str) -> None:
        self.on_call(name)
        self.calls[name] += 1

    def _insert(self, shard: int, table: Table, row: tuple[Any, ...]) -> None:
        self.rows_written += 1
        for column, value in zip(table.all_columns, row, strict=False):
            _check_type(table, column.name, column.kind, column.nullable, value)
        version, deleted = row[-2:]
        row_id = row[1] if table is SCORECARD else row[table.insert_columns.index(SCORE.id)]
        key = Key(shard, table.target, row[0], row[1], row_id, _month(row[2]))
        held = self.states.get(key)
        if held is None or version >= held.version:
            self.states[key] = _State(version, deleted, row)
            self.by_scorecard[row[1]].add(key)


_PYTHON: Mapping[str, tuple[type, ...]] = {
    "uuid": (int,),
    "text": (str,),
    "time": (int,),
    "float": (float, int),
    "int": (int,),
    "bool": (bool, int),
}


def _check_type(table: Table, name: str, kind: str, nullable: bool, value: Any) -> None:
    """What clickhouse-connect would refuse, or store as something else."""
    if value is None:
        assert nullable, f"{table.target}.{name} is not nullable"
    else:
        assert isinstance(value, _PYTHON[kind]), f"{table.target}.{name}: {value!r}"


@lru_cache(4096)
def _month(time_us: int) -> int:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    return at.year * 100 + at.month


class FakeDeadLetters:
    """The dead-letter topic."""

    def __init__(self, *, on_call: OnCall = nothing) -> None:
        self.on_call = on_call
        self.letters: list[DeadLetter] = []

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.on_call("dead_letters")
        self.letters += letters

    @property
    def reasons(self) -> list[str]:
        return [letter.reason for letter in self.letters]
