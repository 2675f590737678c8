"""The live tables and a shadow's, on all shards: hold writes back, exchange, which is which. DDL only, no row is read.

Holding back: a table that allows no part more than it has refuses every insert as "too many parts", an error that each
writer knows as one that passes and tries again; readers notice nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller
from typing import Any, TypeVar

from stream.clickhouse.schema import apply as schema_apply
from stream.clickhouse.shards import connect, shard_error
from stream.config import ClickHouseSettings
from stream.tables import TARGETS

T = TypeVar("T")

# The second setting: without it the first holds for tables with small parts only.
_HOLD = "parts_to_throw_insert = 1, max_avg_part_size_for_too_many_parts = 9000000000000000000"
_RESET = "parts_to_throw_insert, max_avg_part_size_for_too_many_parts"

Uuids = dict[str, str]  # "<shard>/<table>" -> UUID


class ShadowTables:
    """One client for each shard; `with`-able. Raises ClickHouseUnavailable and ClickHouseRefused."""

    def __init__(self, settings: ClickHouseSettings, shadow: str) -> None:
        self._settings = settings
        self._live = settings.database
        self._shadow = shadow
        self._on_cluster = f" ON CLUSTER `{settings.cluster}`" if settings.cluster else ""
        self._clients: dict[int, Any] = {}
        self._threads = ThreadPoolExecutor(len(settings.shards), thread_name_prefix="shard")

    def uuids(self, database: str) -> Uuids:
        """Which tables stand under the database's names: exchanged tables keep their UUIDs."""
        names = ", ".join(f"'{table.target}'" for table in TARGETS)
        query = f"SELECT name, toString(uuid) FROM system.tables WHERE database = '{database}' AND name IN ({names})"
        shards = list(range(len(self._settings.shards)))
        answers = self._each(shards, lambda client: client.query(query).result_rows)
        return {f"{shard}/{name}": uuid for shard, rows in zip(shards, answers, strict=True) for name, uuid in rows}

    def hold(self, database: str) -> None:
        """From now on inserts into these tables are refused, for the time being."""
        self._ddl(f"ALTER TABLE `{database}`.`{{table}}`{self._on_cluster} MODIFY SETTING {_HOLD}")

    def let_go(self, database: str) -> None:
        """Inserts are taken again; where they were, nothing changes."""
        held = self._held(database)
        for shard, table in held:
            statement = f"ALTER TABLE `{database}`.`{table}`{self._on_cluster} RESET SETTING {_RESET}"
            self._run(shard, methodcaller("command", statement))

    def exchange(self, before: Uuids) -> None:
        """Live and shadow tables change their names, on all shards at once. `before`: the live tables' UUIDs.

        What is exchanged already (by a cutover that died) is left alone.
        """
        now = self.uuids(self._live)

        def swap(shard: int) -> Callable[[Any], None]:
            pairs = [
                f"`{self._live}`.`{t.target}` AND `{self._shadow}`.`{t.target}`"
                for t in TARGETS
                if now[f"{shard}/{t.target}"] == before[f"{shard}/{t.target}"]
            ]
            # One statement for both tables: a reader between them would see scorecards without their scores.
            statement = f"EXCHANGE TABLES {', '.join(pairs)}{self._on_cluster}"
            return lambda client: client.command(statement) if pairs else None

        shards = schema_apply.target_shards(self._settings)
        swaps = {shard: swap(shard) for shard in shards}
        self._each_own(swaps)

    def drop(self, database: str) -> None:
        """Drop the shadow database and what is in it."""
        for shard in schema_apply.target_shards(self._settings):
            self._run(
                shard, lambda client: client.command(f"DROP DATABASE IF EXISTS `{database}`{self._on_cluster} SYNC")
            )

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients.values():
            client.close()

    def __enter__(self) -> ShadowTables:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _held(self, database: str) -> list[tuple[int, str]]:
        query = (
            f"SELECT name FROM system.tables WHERE database = '{database}' "
            "AND engine_full LIKE '%parts_to_throw_insert = 1,%'"
        )
        found = []
        for shard in schema_apply.target_shards(self._settings):
            rows = self._run(shard, lambda client: client.query(query).result_rows)
            found += [(shard, name) for (name,) in rows]
        return found

    def _ddl(self, statement: str) -> None:
        def run(client: Any) -> None:
            for table in TARGETS:
                client.command(statement.format(table=table.target))

        self._each(schema_apply.target_shards(self._settings), run)

    def _each(self, shards: list[int], call: Callable[[Any], T]) -> list[T]:
        return list(self._threads.map(lambda shard: self._run(shard, call), shards))

    def _each_own(self, calls: dict[int, Callable[[Any], None]]) -> None:
        list(self._threads.map(lambda item: self._run(item[0], item[1]), calls.items()))

    def _run(self, shard: int, call: Callable[[Any], T]) -> T:
        try:
            if shard not in self._clients:
                self._clients[shard] = connect(self._settings, shard, database="")
            return call(self._clients[shard])
        except Exception as error:
            raise shard_error(self._settings, shard, error) from error
