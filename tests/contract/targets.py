"""ClickHouseTarget with what the tests need beside: a hook before each call, and a look at the views."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from stream.clickhouse.schema import apply as schema_apply
from stream.clickhouse.shards import Shards
from stream.clickhouse.target import ClickHouseTarget
from stream.pipeline.pieces import Piece
from stream.pipeline.stored import Key, Standing, StandingPlace
from stream.pipeline.writes import Writes
from stream.settings_sections import ClickHouseSettings
from stream.tables import TARGETS, Table
from tests.fakes import OnCall, nothing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RealTarget(ClickHouseTarget):
    """A database of its own on the stack's shards; `with`-able, dropped at the end.

    Args:
        ddl: replaces the package's own: statements with `{database}` in them.
    """

    def __init__(self, settings: ClickHouseSettings, database: str, *, ddl: Sequence[str] = ()) -> None:
        self._ddl = ddl
        self.shards = Shards(settings, database=database)
        super().__init__(self.shards)
        self.on_call: OnCall = nothing
        self._own, self._name = settings, database

    def __enter__(self) -> RealTarget:
        if not self._ddl:
            for _ in schema_apply.apply(self.shards):
                pass
        for statement in self._ddl:
            self._on_each_shard(statement)
        return self

    def __exit__(self, *_: object) -> None:
        self._on_each_shard(f"DROP DATABASE IF EXISTS {self._name}")
        self.close()
        self.shards.close()

    def write(self, writes: Writes) -> None:
        self.on_call("write")
        super().write(writes)

    def standing(
        self,
        ids: Sequence[str],
        customers: Sequence[str] | None,
        *,
        piece: Piece | None = None,
        most: int | None = None,
    ) -> list[Standing]:
        self.on_call("standing")
        return super().standing(ids, customers, piece=piece, most=most)

    def standing_places(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[StandingPlace]:
        self.on_call("standing")
        return super().standing_places(ids, customers)

    def written(self, versions: Collection[int]) -> list[tuple[str, str, int]]:
        self.on_call("written")
        return super().written(versions)

    def empty(self) -> None:
        for table in TARGETS:
            self._on_each_shard(f"TRUNCATE TABLE {self._name}.{table.target}")

    def readers_without_final(self) -> None:
        """The views of a reader who does not know the engine."""
        for table in TARGETS:
            names = ", ".join(column.name for column in table.all_columns)
            self._on_each_shard(
                f"CREATE OR REPLACE VIEW {self._name}.{table.target}_current AS "
                f"SELECT {names} FROM {self._name}.{table.target} WHERE _deleted = 0"
            )

    def merge(self) -> None:
        """Merge, as ClickHouse does by itself at some time."""
        for table in TARGETS:
            self._on_each_shard(f"OPTIMIZE TABLE {self._name}.{table.target} FINAL")

    def versions(self) -> dict[Key, int]:
        """The highest version of every sort key, delete markers included."""
        found: dict[Key, int] = {}
        for table in TARGETS:
            rows = self.shards.everywhere(
                f"SELECT toString(customer_id), scorecard_id, {table.id}, "
                "toUnixTimestamp64Micro(event_time) AS time_us, max(_version) "
                f"FROM {{database}}.{table.target} GROUP BY ALL"
            )
            for shard, customer, scorecard, row, time_us, version in rows:
                found[Key(shard, table.target, customer, scorecard.int, row.int, time_us)] = version
        return found

    def visible(self, table: Table) -> list[tuple[Any, ...]]:
        """The rows of `<target>_current` on all shards, in the form of `FakePostgres.expected`."""
        return self.window(table, "1")

    def window(self, table: Table, condition: str) -> list[tuple[Any, ...]]:
        """The rows of `<target>_current` under a condition, with a reader's default settings."""
        names = ", ".join(column.name for column in table.all_columns)
        found = self.shards.everywhere(f"SELECT {names} FROM {{database}}.{table.target}_current WHERE {condition}")
        return sorted((tuple(map(_plain, row[1:])) for row in found), key=repr)

    def visible_keys(self) -> list[Key]:
        """The sort keys of what is visible, as FakeClickHouse has them."""
        keys = []
        for table in TARGETS:
            found = self.shards.everywhere(
                f"SELECT customer_id, scorecard_id, {table.id}, event_time FROM {{database}}.{table.target}_current"
            )
            keys += [Key(row[0], table.target, row[1], row[2].int, row[3].int, _plain(row[4])) for row in found]
        return keys

    def _on_each_shard(self, statement: str) -> None:
        self.shards.each(lambda shard: self.shards.command(shard, statement))


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.int
    if isinstance(value, datetime):
        since = value.replace(tzinfo=UTC) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return value
