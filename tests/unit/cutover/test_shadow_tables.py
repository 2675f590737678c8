"""The live and the shadow's tables on two shards: done means exchanged, and a shard that is down holds no other."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stream.cutover.shadow_tables import ShadowTables
from stream.errors import ClickHouseUnavailable, ScorestreamError, UsageError


class FakeShards:
    """Shards that know tables by name, with a UUID each, and which of them are held."""

    def __init__(self, count: int = 2, replicas: int = 1) -> None:
        self.count = count
        self.replicas = [[f"http://{shard}-{n}" for n in range(replicas)] for shard in range(count)]
        self.waits: dict[str, Any] = {}  # statement for the cluster -> how it waits
        self.tables = {
            (shard, database, table): f"{database}-{table}-{shard}"
            for shard in range(count)
            for database in ("live", "green", "blue")
            for table in ("scorecard", "score")
        }
        self.settings: dict[str, dict[str, str]] = {
            uuid: {"index_granularity": "8192"} for uuid in self.tables.values()
        }
        self.queued: list[str] = []  # statements for all replicas that nothing waits for
        self.down: set[int] = set()
        self.statements: list[tuple[int, str]] = []
        self.deaf = False  # acknowledges an exchange, and does nothing

    def each(self, call: Any, shards: Any = None) -> list[Any]:
        return [call(shard) for shard in (range(self.count) if shards is None else shards)]

    @property
    def held(self) -> set[tuple[int, str, str]]:
        return {name for name, uuid in self.tables.items() if self.settings[uuid].get("parts_to_throw_insert") == "1"}

    def everywhere(self, query: str) -> list[tuple[Any, ...]]:
        database = re.findall(r"database = '(\w+)'", query)[0]
        rows = [(s, table, uuid) for (s, d, table), uuid in self.tables.items() if d == database]
        return [(s, uuid, self._engine(uuid)) for s, _, uuid in rows] if "engine_full" in query else rows

    def ask(self, shard: int, query: str) -> list[tuple[str, str]]:
        self._reach(shard)
        database, pattern = re.findall(r"'([^']+)'", query)
        return [
            (table, uuid)
            for (s, d, table), uuid in sorted(self.tables.items())
            if (s, d) == (shard, database) and re.search(pattern, self._engine(uuid))
        ]

    def command(self, shard: int, sql: str, *, settings: Any = None) -> None:
        self._reach(shard)
        self.statements.append((shard, sql))
        if "ON CLUSTER" in sql:
            self.waits[sql] = settings
        if "ON CLUSTER" in sql and settings == {"distributed_ddl_task_timeout": 0}:
            self.queued.append(sql)
            return
        names = re.findall(r"`(\w+)`\.`(\w+)`", sql)
        shards = range(self.count) if "ON CLUSTER" in sql else [shard]
        if sql.startswith("EXCHANGE") and not self.deaf:
            for s in shards:
                for one, other in zip(names[::2], names[1::2], strict=True):
                    a, b = (s, *one), (s, *other)
                    self.tables[a], self.tables[b] = self.tables[b], self.tables[a]
        for s in shards:
            for name in names if "SETTING" in sql else ():
                own = self.settings[self.tables[s, *name]]
                own |= dict(re.findall(r"(\w+) = (\d+)", sql))
                if reset := re.search(r"RESET SETTING (\w+)", sql):
                    own.pop(reset[1], None)

    def on_replicas(self, shard: int, sql: str) -> None:
        assert "ON CLUSTER" not in sql
        self.command(shard, sql)

    def _engine(self, uuid: str) -> str:
        return "ReplacingMergeTree SETTINGS " + ", ".join(f"{k} = {v}" for k, v in self.settings[uuid].items())

    def _reach(self, shard: int) -> None:
        if shard in self.down:
            raise ClickHouseUnavailable(f"ClickHouse shard {shard}: no connection")


def made(shards: FakeShards, shadow: str = "green", cluster: str | None = None) -> ShadowTables:
    found: Any = shards
    return ShadowTables(found, live="live", shadow=shadow, cluster=cluster)


def test_all_tables_change_places_and_that_is_looked_at() -> None:
    shards = FakeShards()
    tables = made(shards)
    before = tables.uuids("live")
    tables.exchange(before)
    assert tables.exchanged(before) == before.keys()
    assert tables.uuids("live")["1/score"] == "green-score-1"


def test_the_rest_of_an_exchange_that_died_is_made_and_no_more() -> None:
    # given an exchange that reached shard 0 only
    shards = FakeShards()
    tables = made(shards)
    before = tables.uuids("live")
    shards.command(0, "EXCHANGE TABLES `live`.`scorecard` AND `green`.`scorecard`, `live`.`score` AND `green`.`score`")
    assert tables.exchanged(before) == {"0/scorecard", "0/score"}
    # when it is ended, also on a cluster
    made(shards, cluster="main").exchange(before)
    # then shard 1 was exchanged, and shard 0 not a second time
    assert tables.exchanged(before) == before.keys()


def test_tables_that_another_cutover_made_live_are_not_taken_for_ones_own_exchange() -> None:
    # given a cutover of green that was refused, and one of blue that went through
    shards = FakeShards()
    green, blue = made(shards), made(shards, "blue")
    before = green.uuids("live")
    blue.exchange(before)
    # then green has exchanged nothing, and cannot by what it knew
    assert green.exchanged(before) == set()
    with pytest.raises(UsageError, match="Nothing was exchanged"):
        green.exchange(before)
    assert green.uuids("live")["0/score"] == "blue-score-0"


def test_an_exchange_that_is_acknowledged_and_not_made_is_told() -> None:
    shards = FakeShards()
    shards.deaf = True
    tables = made(shards)
    with pytest.raises(ScorestreamError, match="0/score"):
        tables.exchange(tables.uuids("live"))


def test_a_shard_that_is_down_keeps_no_other_held_and_is_named() -> None:
    # given held tables on both shards, one of which does not answer
    shards = FakeShards()
    tables = made(shards)
    tables.hold("live")
    shards.down = {0}
    # when they are let go
    with pytest.raises(ScorestreamError, match=r"shard 0.*RESET SETTING"):
        tables.let_go("live", "green")
    # then the other takes inserts, and the first does once it answers
    assert {shard for shard, *_ in shards.held} == {0}
    shards.down = set()
    tables.let_go("live", "green")
    assert shards.held == set()


def test_what_an_operator_had_set_comes_back_also_after_a_cutover_that_died() -> None:
    # given a table with a setting of the operator's, and one with none
    shards = FakeShards()
    shards.settings["live-score-1"]["parts_to_throw_insert"] = "5000"
    was = {uuid: dict(settings) for uuid, settings in shards.settings.items()}
    chosen = made(shards).chosen("live")
    assert chosen == {"live-score-1": {"parts_to_throw_insert": "5000"}}
    # when a cutover holds the tables, exchanges them, and dies
    tables = made(shards)
    tables.hold("live")
    assert len(shards.held) == 4
    assert tables.chosen("live") == {}  # a hold is nothing that an operator has set
    tables.exchange(tables.uuids("live"))
    # then another one, which knows what was noted, lets them go by whichever name, as they were
    again = made(shards)
    again.remember(chosen)
    again.let_go("live", "green")
    assert shards.settings == was


def test_ten_thousand_parts_are_no_hold() -> None:
    shards = FakeShards()
    shards.settings["live-score-0"]["parts_to_throw_insert"] = "10000"
    made(shards).let_go("live", "green")
    assert shards.statements == []


def test_on_a_cluster_every_shard_is_asked_whether_it_is_held() -> None:
    # given a hold that is left on shard 1 alone
    shards = FakeShards()
    made(shards).hold("live")
    made(shards).let_go("live")
    shards.settings["live-score-1"]["parts_to_throw_insert"] = "1"
    made(shards, cluster="main").let_go("live", "green")
    assert shards.held == set()


def test_on_a_cluster_a_dead_replica_keeps_no_shard_held() -> None:
    # given a cluster of which one replica is dead: no statement for all of it is ever acknowledged
    shards = FakeShards()
    shards.settings["live-score-0"]["parts_to_throw_insert"] = "7"
    tables = made(shards, cluster="main")
    tables.remember(tables.chosen("live"))
    tables.hold("live")
    # when the tables are let go
    tables.let_go("live", "green")
    # then those of the shards take inserts at once, and the replicas find each change in the queue
    assert shards.held == set()
    assert shards.settings["live-score-0"]["parts_to_throw_insert"] == "7"
    assert len(shards.queued) == 8
    assert any(sql.endswith("ON CLUSTER `main` MODIFY SETTING parts_to_throw_insert = 7") for sql in shards.queued)


def test_listed_replicas_are_told_by_themselves_and_the_cluster_is_not_waited_for() -> None:
    # given shards with two replicas each in the list
    shards = FakeShards(replicas=2)
    tables = made(shards, cluster="main")
    tables.hold("live")
    # then each server gets its own statement, and the statement for the cluster waits for no server
    assert len(shards.held) == 4
    assert {str(waits) for waits in shards.waits.values()} == {"{'distributed_ddl_task_timeout': 0}"}


def test_replicas_that_are_not_listed_are_waited_for_by_seconds() -> None:
    shards = FakeShards()
    tables = made(shards, cluster="main")
    tables.hold("live")
    tables.exchange(tables.uuids("live"))
    # then a dead one is an empty status after some seconds, not an error after minutes
    for waits in shards.waits.values():
        assert waits == {"distributed_ddl_task_timeout": 5, "distributed_ddl_output_mode": "null_status_on_timeout"}
    assert any(sql.startswith("EXCHANGE") for sql in shards.waits)


def test_listed_replicas_without_a_cluster_are_refused() -> None:
    with pytest.raises(UsageError, match="SCORESTREAM_CLICKHOUSE_CLUSTER"):
        made(FakeShards(replicas=2))
