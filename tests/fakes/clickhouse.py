"""ClickHouse in memory: rows by sort key, the newest version shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from stream.pipeline.reindex import Standing
from stream.pipeline.writes import Key, Writes
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
