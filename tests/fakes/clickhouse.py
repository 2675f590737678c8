"""ClickHouse in memory: rows by sort key, the newest version shown; and parts, which a reader's window leaves out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from stream.pipeline.pieces import Piece
from stream.pipeline.placement import month_of
from stream.pipeline.stored import Key, Standing, StandingPlace
from stream.pipeline.writes import Writes
from stream.tables import SCORE, SCORECARD, TARGETS, Table
from tests.fakes.rows import OnCall, nothing

_PYTHON: Mapping[str, tuple[type, ...]] = {
    "uuid": (int,),
    "text": (str,),
    "time": (int,),
    "float": (float, int),
    "int": (int,),
    "bool": (bool, int),
}


@dataclass(slots=True)
class _State:
    """The state that a ReplacingMergeTree keeps of one sort key in one ClickHouse partition."""

    version: int
    deleted: int
    row: tuple[Any, ...]


@dataclass(slots=True)
class _Part:
    """The rows of one insert, or of a merge of several, in one ClickHouse partition."""

    shard: int
    table: str
    month: int
    low: int  # the least and the greatest event time of its rows, delete markers too
    high: int
    states: dict[Key, _State]


class FakeClickHouse:
    """Shards of ReplacingMergeTree: the highest version wins, of equal ones the last inserted.

    `visible` shows the rows for a reader without a condition. `within` shows those for a reader of a span of event
    time. Parts outside of the span are left out first. Only then the newest state of each sort key counts, as in
    ClickHouse under FINAL.
    """

    def __init__(self, *, shards: int = 2, on_call: OnCall = nothing) -> None:
        self.on_call = on_call
        self.shards = shards
        self.states: dict[Key, _State] = {}
        self.by_scorecard: dict[int, set[Key]] = defaultdict(set)
        self.parts: list[_Part] = []  # in the order of their inserts
        self.rows_written = 0
        self.calls: Counter[str] = Counter()
        self.order: Callable[[list[Any]], list[Any]] = lambda inserts: inserts  # in which inserts of a write arrive

    def write(self, writes: Writes) -> None:
        for shard, table, columns in self.order(list(writes)):
            self._call("write")
            assert 0 <= shard < self.shards
            assert len(columns) == len(table.insert_columns)
            fresh: dict[int, _Part] = {}
            for row in zip(*columns, strict=True):
                self._insert(shard, table, row, fresh)
            self.parts += fresh.values()

    def standing(
        self,
        ids: Sequence[str],
        customers: Sequence[str] | None,
        *,
        piece: Piece | None = None,
        most: int | None = None,
    ) -> list[Standing]:
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
                        if piece is not None and f"{key.row_id:032x}"[-2:] not in piece.endings:
                            continue
                        if customers is None or key.customer_id in customers:
                            found.append(Standing(key, state.version))
        return found[:most]

    def standing_places(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[StandingPlace]:
        found: dict[tuple[int, str, int, int], list[int]] = defaultdict(list)
        for key, version in self.standing(ids, customers):
            found[key.scorecard_id, key.customer_id, key.shard, key.event_time_us].append(version)
        return [StandingPlace(*where, max(versions), len(versions)) for where, versions in found.items()]

    def written(self, versions: Collection[int]) -> list[tuple[str, str, int]]:
        self._call("written")
        return sorted(
            {
                (str(UUID(int=key.scorecard_id)), key.customer_id, state.version)
                for key, state in self.states.items()
                if state.version in versions and not state.deleted
            }
        )

    def versions(self) -> dict[Key, int]:
        """The highest version of every sort key, delete markers included."""
        return {key: state.version for key, state in self.states.items()}

    def visible(self, table: Table) -> list[tuple[Any, ...]]:
        """What `<target>_current` shows on all shards; columns as `FakePostgres.expected`; sorted."""
        rows = [state.row[:-2] for key, state in self.states.items() if key.table == table.target and not state.deleted]
        return sorted(rows, key=repr)

    def within(self, table: Table, low: int, high: int) -> list[tuple[Any, ...]]:
        """What `<target>_current` shows `WHERE event_time >= low AND event_time < high`; sorted as `visible`."""
        newest: dict[Key, _State] = {}
        for part in self.parts:
            if part.table == table.target and part.low < high and part.high >= low:
                _replace(newest, part.states)
        rows = [s.row[:-2] for s in newest.values() if not s.deleted and low <= s.row[2] < high]
        return sorted(rows, key=repr)

    def merge_some(self, first: int, count: int) -> None:
        """Merge up to `count` parts with the part at `first`: the next ones of its ClickHouse partition."""
        if not self.parts:
            return
        into = self.parts[first % len(self.parts)]
        same = [p for p in self.parts if (p.shard, p.table, p.month) == (into.shard, into.table, into.month)]
        at = next(i for i, part in enumerate(same) if part is into)
        for part in same[at + 1 : at + 1 + count]:
            _replace(into.states, part.states)
            self.parts = [p for p in self.parts if p is not part]
        times = [state.row[2] for state in into.states.values()]
        into.low, into.high = min(times), max(times)

    def visible_keys(self) -> list[Key]:
        return [key for key, state in self.states.items() if not state.deleted]

    def _call(self, name: str) -> None:
        self.on_call(name)
        self.calls[name] += 1

    def _insert(self, shard: int, table: Table, row: tuple[Any, ...], fresh: dict[int, _Part]) -> None:
        self.rows_written += 1
        for column, value in zip(table.all_columns, row, strict=False):
            _check_type(table, column.name, column.kind, column.nullable, value)
        key, state = sort_key(shard, table, row), _State(row[-2], row[-1], row)
        _replace(self.states, {key: state})
        self.by_scorecard[row[1]].add(key)
        at, month = row[2], month_of(row[2])
        part = fresh.setdefault(month, _Part(shard, table.target, month, at, at, {}))
        part.low, part.high = min(part.low, at), max(part.high, at)
        _replace(part.states, {key: state})


def key_time(time_us: int) -> int:
    """What the sort key has of the event time: all of it."""
    return time_us


def sort_key(shard: int, table: Table, row: tuple[Any, ...]) -> Key:
    """Which rows of a shard are states of one: the sort key of the tables."""
    row_id = row[1] if table is SCORECARD else row[table.insert_columns.index(SCORE.id)]
    return Key(shard, table.target, row[0], row[1], row_id, key_time(row[2]))


def _replace(held: dict[Key, _State], later: Mapping[Key, _State]) -> None:
    for key, state in later.items():
        before = held.get(key)
        if before is None or state.version >= before.version:
            held[key] = state


def _check_type(table: Table, name: str, kind: str, nullable: bool, value: Any) -> None:
    """Refuse values that clickhouse-connect would refuse, or store as another value."""
    if value is None:
        assert nullable, f"{table.target}.{name} is not nullable"
    else:
        assert isinstance(value, _PYTHON[kind]), f"{table.target}.{name}: {value!r}"
