"""A look at a shard's tables before they are written to or compared, and again now and then: are they the right ones?

Enters: the store of the shards. Leaves: nothing, or a refusal with the way out. While processes run, a table can be
created again, renamed, or get a row policy; no message reports that. One look is two queries of system tables.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

from stream.clickhouse.schema.layout import sorting_key
from stream.clickhouse.schema.policies import policies
from stream.clickhouse.schema.shard_mark import mark_in, wanted_mark
from stream.clickhouse.shards import Shards
from stream.errors import ClickHouseRefused, ConfigError
from stream.tables import TARGETS, Table

log = logging.getLogger(__name__)

EVERY_S: Final = 30.0  # how soon a table that was changed under a running process is noticed
_NAMES = ", ".join(f"'{table.target}'" for table in TARGETS)
_TABLES = f"""
SELECT name, engine, sorting_key, comment FROM system.tables WHERE database = %(database)s AND name IN ({_NAMES})
"""


class TableSeen(NamedTuple):
    """What a shard tells of a table."""

    engine: str
    sorting: str
    comment: str


class TableLook:
    """Looks at each shard at most once in `EVERY_S` seconds; for any thread."""

    def __init__(self, shards: Shards, *, every_s: float = EVERY_S) -> None:
        self._shards = shards
        self._every_s = every_s
        self._seen_at: dict[int, float] = {}
        self._told: set[str] = set()
        self._blind: set[int] = set()  # shards whose row policies this user may not see
        self._lock = threading.Lock()

    def __call__(self, shard: int) -> bool:
        """Look at the tables of a shard, where the last look is too old; returns whether it was.

        Tables that are missing are no fault here.

        Raises:
            ClickHouseRefused: the tables are of another layout, or a row policy hides rows from this user.
            ConfigError: the tables are another shard's.
            ClickHouseUnavailable: the shard does not answer.
        """
        if time.monotonic() - self._seen_at.get(shard, float("-inf")) < self._every_s:
            return False
        held = self.held(shard)
        for table in TARGETS:
            if table.target in held:
                self._check_engine(shard, table, held[table.target].engine)
                self._check_layout(shard, table, held[table.target].sorting)
        self.marks(shard, held)
        self._check_policies(shard)
        if len(held) == len(TARGETS):
            self._seen_at[shard] = time.monotonic()
        return True

    def held(self, shard: int) -> dict[str, TableSeen]:
        """The target tables that are there. Raises as `Shards.ask`."""
        rows = self._shards.ask(shard, _TABLES, {"database": self._shards.database})
        return {name: TableSeen(*rest) for name, *rest in rows}

    def marks(self, shard: int, held: Mapping[str, TableSeen]) -> None:
        """Raises ConfigError when the tables are another shard's."""
        for table in TARGETS:
            if table.target in held:
                self._check_mark(shard, table, held[table.target].comment)

    def _check_engine(self, shard: int, table: Table, engine: str) -> None:
        """Refuse an engine that acknowledges rows before it stores them, as Distributed, Buffer and Null do."""
        if not engine.endswith("ReplacingMergeTree"):
            raise ClickHouseRefused(
                f"{self._where(shard, table)} has the engine {engine}, not ReplacingMergeTree: rows that it "
                "acknowledges may not be there, or show twice. Give SCORESTREAM_CLICKHOUSE_SHARDS the servers that "
                "hold the tables of `scorestream schema apply`"
            )

    def _check_layout(self, shard: int, table: Table, sorting: str) -> None:
        """Refuse a table whose sort key has not the exact event time: no marker would reach its old states."""
        if sorting != sorting_key(table):
            raise ClickHouseRefused(
                f"{self._where(shard, table)} is sorted by ({sorting}), not by "
                f"({sorting_key(table)}): it was made by an earlier release, and readers of a span of time may see "
                "old states in it. Leave the workers of that release running, fill new tables with `scorestream "
                "replay start NAME --into DATABASE --to-earliest`, stop the workers, run `scorestream cutover "
                "NAME`, and start the workers of this release (docs/guides/upgrade.md)"
            )

    def _check_mark(self, shard: int, table: Table, comment: str) -> None:
        mark, wanted = mark_in(comment), wanted_mark(self._shards.settings, shard)
        if mark is None:
            self._say(f"{shard}", "tables do not say which shard they are", shard, "run `scorestream schema apply`")
        elif mark != wanted:
            raise ConfigError(
                f"{self._where(shard, table)} says `{mark}`, but SCORESTREAM_CLICKHOUSE_SHARDS and "
                f"SCORESTREAM_CLICKHOUSE_SHARD_BUCKET_DAYS make it `{wanted}`: changes would be written where the rows "
                "are not. Give the shards in the order and number that the tables say. To spread the rows over another "
                "number of shards, fill a new database (docs/guides/upgrade.md)"
            )

    def _check_policies(self, shard: int) -> None:
        if shard in self._blind:
            return
        found = policies(partial(self._shards.ask, shard), self._shards.database)
        if found is None:
            self._blind.add(shard)
        for policy in found or ():
            on = f"{self._shards.database}.{policy.table or '*'}"
            if policy.own:
                raise ClickHouseRefused(
                    f"{self._shards.where(shard)}: row policy {policy.name} on {on} hides rows from this user, so what "
                    "stands there cannot be seen and an appeal would stay visible: ALTER ROW POLICY "
                    f"{policy.name} ON {on} TO ALL EXCEPT {self._shards.settings.user}"
                )
            way = "users_without_row_policies_can_read_rows must be true on the server, which is its default"
            self._say(f"{shard}/{policy}", "row policy of other users", shard, way, policy=policy.name, on=on)

    def _where(self, shard: int, table: Table) -> str:
        return f"{self._shards.where(shard)}: {self._shards.database}.{table.target}"

    def _say(self, once: str, what: str, shard: int, way: str, **more: str) -> None:
        with self._lock:
            if once in self._told:
                return
            self._told.add(once)
        log.warning(what, extra={"shard": shard, "database": self._shards.database, "way_out": way, **more})


def check_tables(shards: Shards) -> None:
    """Look at all shards once. Raises as `TableLook`."""
    shards.each(TableLook(shards))


def check_marks(shards: Shards) -> None:
    """Whether all tables are those of their shard, in any layout.

    Raises:
        ConfigError: they are not.
    """
    look = TableLook(shards)
    shards.each(lambda shard: look.marks(shard, look.held(shard)))
