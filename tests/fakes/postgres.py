"""Postgres in memory: transactions, look-ups, snapshots, and the rows that a reader must see."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from stream.pipeline.pieces import Piece
from stream.pipeline.placement import GONE, Place, place_of
from stream.pipeline.stored import Snapshot
from stream.tables import CHATS, SOURCES, TARGETS, Table
from tests.fakes.rows import PRIMARY_KEY, OnCall, Row, nothing, row_of


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
    xid: int | None = None


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
        self.flushed: set[int] = set()  # committed in the WAL, and not yet visible to others
        self.xmin: dict[tuple[str, str], int] = {}  # the transaction that wrote the row as it is
        self.horizons: list[tuple[int, int]] = []  # (all below had ended, none from here on had begun), at some moments
        self.shares: dict[str, set[Transaction]] = defaultdict(set)  # scorecard id -> holders of FOR KEY SHARE
        self.calls: Counter[str] = Counter()
        self.standby = False
        self._before: tuple[dict[str, dict[str, Row]], dict[tuple[str, str], int]] = ({t: {} for t in SOURCES}, {})

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

    def fail_over(self, lost: int, *, restored: bool = False) -> None:
        """Another server takes this one's place, without the last `lost` commits. All sessions end.

        Args:
            restored: into a new cluster: LSNs and transaction ids start again, and the WAL is empty.
        """
        self.wal = self.wal[: len(self.wal) - lost]
        self.rows, self.xmin = {table: dict(held) for table, held in self._before[0].items()}, dict(self._before[1])
        for commit in self.wal:
            for change in commit.changes:
                self._apply(change, commit.xid or 0)
        if restored:
            self.wal, self.horizons = [], []
            self.xmin = dict.fromkeys(self.xmin, 3)
            self._before = {table: dict(held) for table, held in self.rows.items()}, dict(self.xmin)
        self.last_commit = self.wal[-1].lsn if self.wal else None
        self.lsn = self.last_commit or 16
        self.xid = 1 + max([699, *(commit.xid or 0 for commit in self.wal), *self.xmin.values()])
        self.horizons = [(ended, begun) for ended, begun in self.horizons if begun <= self.xid]
        self.locks, self.running, self.flushed = {}, set(), set()
        self.shares.clear()

    def _apply(self, change: Change, xid: int) -> None:
        """As a standby replays the WAL."""
        key = PRIMARY_KEY[change.table]
        if change.before is not None:
            self.rows[change.table].pop(change.before[key], None)
            self.xmin.pop((change.table, change.before[key]), None)
        if change.after is not None:
            self.rows[change.table][change.after[key]] = change.after
            self.xmin[change.table, change.after[key]] = xid

    # The pipeline's questions (its Source).

    def expect(self, transactions: Collection[int]) -> None:
        """Ask again and again, as the real one does; a test shows the transaction in between."""
        self._call("expect")
        while self.flushed & set(transactions):
            self._call("expect")

    def is_primary(self) -> bool:
        return not self.standby

    def position(self) -> int:
        self._call("position")
        return self.lsn

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

    def lacking(self, scores: Sequence[str], scorecards: Sequence[str]) -> list[int]:
        self._call("lacking")
        held = {(row["score_id"], row["scorecard_id"]) for row in self.rows["scores"].values()}
        return [at for at, pair in enumerate(zip(scores, scorecards, strict=True)) if pair not in held]

    def spelled(self, ids: Sequence[str]) -> list[str]:
        self._call("spelled")
        held = {UUID(own): own for own in self.rows["scorecards"]}
        return [held.get(UUID(scorecard_id), scorecard_id) for scorecard_id in ids]

    def snapshot(self, ids: Sequence[str], *, piece: Piece | None = None, most: int | None = None) -> Snapshot:
        self._call("snapshot")
        wanted = set(ids)
        return Snapshot(
            self._places(ids),
            {
                table.target: [
                    (row["scorecard_id"], *(row[column.name] for column in table.columns))
                    for row in self.rows[table.source].values()
                    if row["scorecard_id"] in wanted and (piece is None or row[table.id][-2:] in piece.endings)
                ][:most]
                for table in TARGETS
            },
        )

    def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        self._call("sizes")
        rows = [row["scorecard_id"] for table in TARGETS for row in self.rows[table.source].values()]
        return {i: count for i, count in Counter(rows).items() if i in set(ids)}

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
            if card["scorecard_type"] not in (None, 0) or time_us is None or _withheld(table, row) or time_us >= BEYOND:
                continue
            placed = (
                card["customer_id"],
                UUID(card["scorecard_id"]).int,
                time_us,
                not card["conversation_id"],
            )
            found.append((*placed, *(_stored(column.kind, row[column.name]) for column in table.columns)))
        return sorted(found, key=repr)


BEYOND = 2**62  # times from here on are none that ClickHouse can hold


def _withheld(table: Table, row: Row) -> bool:
    """Whether ClickHouse cannot hold the row."""
    for column in table.columns:
        value = row[column.name]
        if value is None and not column.nullable:
            return True
        if column.kind == "time" and value is not None and value >= BEYOND:
            return True
        if column.kind == "float" and value != value:
            return True
    return False


def _stored(kind: str, value: Any) -> Any:
    return (UUID(value).int if value else None) if kind == "uuid" else value


class Transaction:
    """READ COMMITTED: sees committed rows and its own changes; rows that it changed are locked until its end."""

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

    def flush(self) -> None:
        """Write the commit record. The connector sees it; other sessions see it only at `commit`.

        So it is while a synchronous standby has not acknowledged it.
        """
        pg = self._postgres
        if self._changes:
            pg.wal.append(Commit(pg.next_lsn(), pg.last_commit, tuple(self._changes), self._xid))
            pg.last_commit = pg.lsn
            assert self._xid is not None
            pg.flushed.add(self._xid)
            self._changes = []

    def commit(self) -> None:
        self.flush()
        pg = self._postgres
        if self._xid is not None:
            pg.flushed.discard(self._xid)
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
