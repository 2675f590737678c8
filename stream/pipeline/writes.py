"""Column-wise rows for each shard and table: the content of one insert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from stream.pipeline.ordering import of_marker
from stream.pipeline.placement import Place, shard_of
from stream.pipeline.stored import Key
from stream.tables import TARGETS, Column, Table

# Values of a delete marker for the columns outside the sort key.
_BLANK: dict[str, Any] = {"uuid": 0, "text": "", "time": 0, "float": 0.0, "int": 0, "bool": False}


@dataclass(frozen=True, slots=True)
class Layout:
    """How event times spread over shards."""

    shards: int
    bucket_days: int

    def shard(self, event_time_us: int) -> int:
        return shard_of(event_time_us, shards=self.shards, bucket_days=self.bucket_days)

    def key(self, table: Table, place: Place, *, scorecard_id: int, row_id: int) -> Key:
        """Key of a row in a place that has an event time."""
        at = _known(place.event_time_us)
        return Key(self.shard(at), table.target, place.customer_id, scorecard_id, row_id, at)


class Writes:
    """Rows to insert, column by column, for each shard and table."""

    def __init__(self) -> None:
        self._columns: dict[tuple[int, str], list[list[Any]]] = {}

    def __bool__(self) -> bool:
        return bool(self._columns)

    def __iter__(self) -> Iterator[tuple[int, Table, list[list[Any]]]]:
        """(shard, table, columns in the order of `Table.insert_columns`), in a fixed order."""
        for shard, target in sorted(self._columns):
            yield shard, _TABLES[target], self._columns[shard, target]

    @property
    def rows(self) -> int:
        return sum(len(columns[0]) for columns in self._columns.values())

    def add(self, table: Table, shard: int, columns: Sequence[list[Any]]) -> None:
        """Add rows of one shard; `columns` as in `Table.insert_columns`. This object takes the lists over."""
        if not columns[0]:
            return
        held = self._columns.setdefault((shard, table.target), [])
        if not held:
            held.extend(columns)
            return
        for mine, more in zip(held, columns, strict=True):
            mine.extend(more)

    def update(self, other: Writes) -> None:
        """Take over the rows of another object, which must not be used any more."""
        for shard, table, columns in other:
            self.add(table, shard, columns)

    def add_placed(
        self,
        table: Table,
        layout: Layout,
        *,
        places: Sequence[Place],
        scorecards: list[int],
        columns: Sequence[list[Any]],
        versions: list[int],
    ) -> None:
        """Visible rows, each to the shard of its place. `columns` as in `Table.columns`, all of one length."""
        _, customers, times, kinds = zip(*places, strict=True)
        shard_of_time = {time: layout.shard(_known(time)) for time in set(times)}
        shards = [shard_of_time[time] for time in times]
        columns = [list(customers), scorecards, list(times), list(kinds), *columns, versions]
        if len(set(shards)) == 1:
            self.add(table, shards[0], [*columns, [0] * len(shards)])
            return
        for shard in sorted(set(shards)):
            pick = itemgetter(*(chosen := [at for at, own in enumerate(shards) if own == shard]))
            picked = [[pick(column)] for column in columns] if len(chosen) == 1 else map(list, map(pick, columns))
            self.add(table, shard, [*picked, [0] * len(chosen)])

    def add_marker(self, table: Table, shard: int, values: dict[str, Any], *, version: int) -> None:
        """A delete marker of a change's version: `values` has the columns of the sort key."""
        self.add_markers(table, shard, {name: [value] for name, value in values.items()}, versions=[version])

    def add_markers(self, table: Table, shard: int, keys: Mapping[str, list[Any]], *, versions: Sequence[int]) -> None:
        """Delete markers of changes' versions: `keys` has the columns of the sort key, all of one length."""
        count = len(versions)
        columns = [keys[c.name] if c.name in keys else [_blank(c)] * count for c in table.all_columns]
        self.add(table, shard, [*columns, list(map(of_marker, versions)), [1] * count])


def _known(event_time_us: int | None) -> int:
    if event_time_us is None:
        raise ValueError("a place without event time holds no rows")
    return event_time_us


def _blank(column: Column) -> Any:
    return None if column.nullable else _BLANK[column.kind]


_TABLES: dict[str, Table] = {table.target: table for table in TARGETS}
