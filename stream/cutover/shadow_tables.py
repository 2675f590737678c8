"""The live tables and a shadow's, on all shards: hold inserts back, exchange names, find out which table is which.

Enters: names of databases. Leaves: DDL and settings of tables; no row is read or written. To hold inserts back, a table
allows no part more than it has. Then it refuses every insert as "too many parts", an error that each writer retries.
Readers notice nothing. What an operator had set for these settings comes back afterwards.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import partial

from stream.clickhouse.shards import Shards
from stream.errors import ClickHouseRefused, ClickHouseUnavailable, ScorestreamError, UsageError
from stream.retry import poll
from stream.tables import TARGETS

log = logging.getLogger(__name__)

# Without the second setting the first holds for tables with small parts only.
_HOLD = {"parts_to_throw_insert": "1", "max_avg_part_size_for_too_many_parts": "9000000000000000000"}
_HELD = ", ".join(f"{name} = {value}" for name, value in _HOLD.items())
IS_HELD = "parts_to_throw_insert = 1($|[^0-9])"  # in system.tables, however the settings are ordered there
_QUEUED = {"distributed_ddl_task_timeout": 0}  # the other replicas are not waited for: one of them may be dead
# A dead one delays by this much; without the mode it would fail the statement that all others have done.
_BRIEFLY = {"distributed_ddl_task_timeout": 5, "distributed_ddl_output_mode": "null_status_on_timeout"}
_PAUSE_S = 0.5  # between two tries to let a shard go

Uuids = dict[str, str]  # "<shard>/<table>" -> UUID
Chosen = dict[str, dict[str, str]]  # UUID of a table -> what an operator had set of the settings of a hold


class ShadowTables:
    """The tables of both databases on all shards. Raises ClickHouseUnavailable and ClickHouseRefused.

    Args:
        live: the database that readers use.
        shadow: the database of the replay.
        cluster: name of the ClickHouse cluster whose replicas a statement has to reach; None: the listed shards only.
    """

    def __init__(self, shards: Shards, *, live: str, shadow: str, cluster: str | None = None) -> None:
        self._shards = shards
        self._live = live
        self._shadow = shadow
        self._on_cluster = f" ON CLUSTER `{cluster}`" if cluster else ""
        self._chosen: Chosen = {}
        self._lists_replicas = all(len(urls) > 1 for urls in shards.replicas)
        if cluster is None and any(len(urls) > 1 for urls in shards.replicas):
            raise UsageError(
                "a cutover of replicated tables has to reach every replica, also one that is down now: set "
                "SCORESTREAM_CLICKHOUSE_CLUSTER to the cluster's name in ClickHouse"
            )

    def uuids(self, database: str) -> Uuids:
        """The tables under the database's names on each shard, by UUID: exchanged tables keep theirs."""
        names = ", ".join(f"'{table.target}'" for table in TARGETS)
        rows = self._shards.everywhere(
            f"SELECT name, toString(uuid) FROM system.tables WHERE database = '{database}' AND name IN ({names})"
        )
        return {f"{shard}/{name}": uuid for shard, name, uuid in rows}

    def exchanged(self, before: Mapping[str, str]) -> set[str]:
        """Those of the former live tables that stand under the shadow's name now ("<shard>/<table>")."""
        shadow = self.uuids(self._shadow)
        return {key for key, uuid in before.items() if shadow.get(key) == uuid}

    def chosen(self, database: str) -> Chosen:
        """What an operator had set of the settings of a hold; tables without any are missing."""
        rows = self._shards.everywhere(
            f"SELECT toString(uuid), engine_full FROM system.tables WHERE database = '{database}'"
        )
        found = {uuid: _of_hold(engine) for _, uuid, engine in rows if not re.search(IS_HELD, engine)}
        return {uuid: settings for uuid, settings in found.items() if settings}

    def remember(self, chosen: Mapping[str, Mapping[str, str]]) -> None:
        """Have `let_go` set these again."""
        self._chosen |= {uuid: dict(settings) for uuid, settings in chosen.items()}

    def hold(self, database: str) -> None:
        """Refuse inserts into these tables from now on.

        Such a setting is each replica's own. Every replica in the list gets its own statement, and one that does not
        answer is left out. Others of the cluster get it ON CLUSTER and are waited for, which a dead one delays by
        seconds.
        """
        for table in TARGETS:
            change = f"MODIFY SETTING {_HELD}"
            name = f"`{database}`.`{table.target}`"
            if self._on_cluster:
                waiting = _QUEUED if self._lists_replicas else _BRIEFLY
                self._shards.command(0, f"ALTER TABLE {name}{self._on_cluster} {change}", settings=waiting)
            sql = f"ALTER TABLE {name} {change}"
            self._shards.each(partial(self._shards.on_replicas, sql=sql))

    def let_go(self, *databases: str, patience_s: float = 0.0) -> None:
        """Let inserts into held tables through again; where none are held, nothing changes.

        Each shard gets its own statement, so that one that is down keeps no other held. The other replicas of a cluster
        find the statement in its queue, a dead one when it comes back.

        Args:
            patience_s: how long a shard that does not answer is tried again.

        Raises:
            ScorestreamError: a shard did not answer in time; the text names it, and the statements.
        """
        faults = dict.fromkeys(range(self._shards.count), "")

        def free_those_left() -> bool:
            left = [*faults]
            answers = dict(zip(left, self._shards.each(lambda shard: self._free(shard, databases), left), strict=True))
            faults.clear()
            faults.update({shard: fault for shard, fault in answers.items() if fault})
            return not faults

        if poll(free_those_left, timeout_s=patience_s, every_s=_PAUSE_S):
            return
        tables = ", ".join(f"`{database}`.`{table.target}`" for database in databases for table in TARGETS)
        raise ScorestreamError(
            f"inserts may still be held back: {'; '.join(faults.values())}. Run the same cutover again "
            f"when it answers, or there, for each of {tables}: ALTER TABLE .. RESET SETTING {', '.join(_HOLD)}"
        )

    def exchange(self, before: Mapping[str, str]) -> None:
        """Exchange the names of live and shadow tables, on all shards.

        Tables that a dead cutover has exchanged already are left alone.

        Args:
            before: UUIDs of the tables that are live until now.

        Raises:
            UsageError: other tables are live by now; nothing was exchanged.
            ScorestreamError: afterwards not all of them have changed places.
        """
        now = self.uuids(self._live)
        done = self.exchanged(before)
        strange = sorted(key for key in before if now.get(key) != before[key] and key not in done)
        if strange:
            raise UsageError(
                f"other tables than at the start of this cutover are live on shard/table {', '.join(strange)}: another "
                "cutover or a rebuild came between. Nothing was exchanged; start the cutover again"
            )
        left = {shard: self._left(shard, done) for shard in range(self._shards.count)}
        if self._on_cluster and not done:
            self._swap(0, self._left(0, done), self._on_cluster)
        else:
            self._shards.each(lambda shard: self._swap(shard, left[shard], ""))
        if missing := sorted(before.keys() - self.exchanged(before)):
            raise ScorestreamError(
                f"ClickHouse acknowledged the exchange, and on shard/table {', '.join(missing)} the old tables are "
                "still live. Run the same cutover again"
            )

    def drop(self, database: str) -> None:
        """Drop the shadow database and its tables."""
        statement = f"DROP DATABASE IF EXISTS `{database}`{self._on_cluster} SYNC"
        self._shards.each(lambda shard: self._shards.command(shard, statement), self._told())

    def _told(self) -> list[int]:
        """The shards that get a statement: one passes it on to its cluster."""
        return [0] if self._on_cluster else list(range(self._shards.count))

    def _left(self, shard: int, done: set[str]) -> list[str]:
        return [table.target for table in TARGETS if f"{shard}/{table.target}" not in done]

    def _swap(self, shard: int, tables: Iterable[str], on_cluster: str) -> None:
        pairs = [f"`{self._live}`.`{table}` AND `{self._shadow}`.`{table}`" for table in tables]
        if pairs:
            # One statement for both tables: a reader between two would see scorecards without their scores.
            # Where a replica is down the statement waits for it in the cluster's queue, and nobody waits for long.
            self._shards.command(
                shard, f"EXCHANGE TABLES {', '.join(pairs)}{on_cluster}", settings=_BRIEFLY if on_cluster else None
            )

    def _free(self, shard: int, databases: Iterable[str]) -> str:
        """Let one shard's tables go; returns the error, or an empty text."""
        try:
            for database in databases:
                for table, uuid in self._shards.ask(
                    shard,
                    f"SELECT name, toString(uuid) FROM system.tables WHERE database = '{database}' "
                    f"AND match(engine_full, '{IS_HELD}')",
                ):
                    self._restore(shard, f"`{database}`.`{table}`", self._chosen.get(uuid, {}))
        except (ClickHouseUnavailable, ClickHouseRefused) as error:
            log.warning("shard is still held", extra={"shard": shard, "cause": str(error)})
            return str(error)
        return ""

    def _restore(self, shard: int, table: str, chosen: Mapping[str, str]) -> None:
        """Give a table the settings that it had before the hold, on every replica."""
        # The one that ends the hold comes last: a table that is held is looked for by it.
        for name in reversed(_HOLD):
            change = f"MODIFY SETTING {name} = {chosen[name]}" if name in chosen else f"RESET SETTING {name}"
            if self._on_cluster:
                self._shards.command(shard, f"ALTER TABLE {table}{self._on_cluster} {change}", settings=_QUEUED)
            self._shards.on_replicas(shard, f"ALTER TABLE {table} {change}")


def _of_hold(engine: str) -> dict[str, str]:
    """What stands of the settings of a hold in a table's engine with its settings, as ClickHouse prints them."""
    return {name: found[1] for name in _HOLD if (found := re.search(rf"\b{name} = (\d+)", engine))}
