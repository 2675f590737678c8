"""The live and the shadow's tables on two shards: done means exchanged, and a shard that is down holds no other."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stream.cutover.shadow_tables import ShadowTables
from stream.errors import ClickHouseUnavailable, ScorestreamError, UsageError


class FakeShards:
    """Shards that know tables by name, with a UUID each, and which of them are held."""

    def __init__(self, count: int = 2) -> None:
        self.count = count
        self.tables = {
            (shard, database, table): f"{database}-{table}-{shard}"
            for shard in range(count)
            for database in ("live", "green", "blue")
            for table in ("scorecard", "score")
        }
        self.held: set[tuple[int, str, str]] = set()
        self.down: set[int] = set()
        self.statements: list[tuple[int, str]] = []
        self.deaf = False  # acknowledges an exchange, and does nothing

    def each(self, call: Any, shards: Any = None) -> list[Any]:
        return [call(shard) for shard in (range(self.count) if shards is None else shards)]

    def everywhere(self, query: str) -> list[tuple[Any, ...]]:
        database = re.findall(r"database = '(\w+)'", query)[0]
        return [(s, table, uuid) for (s, d, table), uuid in self.tables.items() if d == database]

    def ask(self, shard: int, query: str) -> list[tuple[str]]:
        self._reach(shard)
        database = re.findall(r"database = '(\w+)'", query)[0]
        return [(table,) for s, d, table in sorted(self.held) if (s, d) == (shard, database)]

    def command(self, shard: int, sql: str) -> None:
        self._reach(shard)
        self.statements.append((shard, sql))
        names = re.findall(r"`(\w+)`\.`(\w+)`", sql)
        if sql.startswith("EXCHANGE") and not self.deaf:
            for s in range(self.count) if "ON CLUSTER" in sql else [shard]:
                for one, other in zip(names[::2], names[1::2], strict=True):
                    a, b = (s, *one), (s, *other)
                    self.tables[a], self.tables[b] = self.tables[b], self.tables[a]
        elif "MODIFY SETTING" in sql:
            self.held |= {(shard, *name) for name in names}
        elif "RESET SETTING" in sql:
            self.held -= {(shard, *name) for name in names}

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


def test_on_a_cluster_every_shard_is_asked_whether_it_is_held() -> None:
    # given a hold that is left on shard 1 alone
    shards = FakeShards()
    shards.held = {(1, "live", "score")}
    made(shards, cluster="main").let_go("live", "green")
    assert shards.held == set()
