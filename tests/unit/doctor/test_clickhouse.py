"""One shard: tables, privileges, parts, replicas, policies, clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from stream.clickhouse.schema.apply import Difference
from stream.doctor import clickhouse
from stream.doctor.finding import DoctorFinding, Purpose
from stream.errors import ClickHouseRefused

NOW = 1_000_000.0


class Server:
    """A shard that lacks nothing. `answers`: a part of the query -> its rows."""

    def __init__(self) -> None:
        tables = [(name, "ReplacingMergeTree(..)", [], []) for name in ("scorecard", "score", "heartbeat")]
        self.differences: list[Difference] = []
        self.asked: list[str] = []
        self.answers: dict[str, Sequence[Sequence[Any]] | Exception] = {
            "now64": [("26.9.2.1", NOW)],
            "dependencies_table": tables,
            "HAVING n >": [],
            "system.detached_parts": [],
            "system.replicas": [],
            "CHECK GRANT": [(1,)],
            "system.databases": [("Atomic",)],
        }

    def ask(self, query: str, _values: dict[str, Any]) -> Sequence[Sequence[Any]]:
        self.asked.append(query)
        (rows,) = (rows for part, rows in self.answers.items() if part in query)
        if isinstance(rows, Exception):
            raise rows
        return rows


def found(server: Server, purpose: Purpose | None = None) -> list[DoctorFinding]:
    shard = clickhouse.ShardServer(
        1, "ClickHouse shard 1 (http://c1)", "qa", "writer", server.ask, lambda: server.differences
    )
    return list(clickhouse.examine(shard, purpose, clock=lambda: NOW))


def test_a_shard_that_lacks_nothing_has_no_finding() -> None:
    assert found(Server()) == []


def test_a_difference_from_the_ddl_is_a_finding() -> None:
    server = Server()
    server.differences = [Difference(1, "score", "missing")]
    assert [each.id for each in found(server)] == ["table-differs"]


@pytest.mark.parametrize("table", ["system.parts", "system.detached_parts", "system.replicas"])
def test_a_system_table_that_the_user_may_not_read_is_a_hint_and_the_rest_is_looked_at(table: str) -> None:
    server = Server()
    part = {"system.parts": "HAVING n >"}.get(table, table)
    server.answers[part] = ClickHouseRefused("ClickHouse shard 1: Code: 497. DB::Exception: Not enough privileges")
    server.answers["now64"] = [("26.9.2.1", NOW + 3)]
    told = {each.id: each for each in found(server)}
    assert told.keys() == {"clickhouse-blind", "clock-skew"}
    assert told["clickhouse-blind"].way_out == f"GRANT SELECT ON {table} TO writer;"


@pytest.mark.parametrize(
    ("part", "rows", "check", "way_out"),
    [
        ("now64", [("26.9.2.1", NOW + 3)], "clock-skew", "timedatectl"),
        ("now64", [("24.8.1.1", NOW)], "clickhouse-version", "upgrade"),
        ("now64", [("26.9.2.1", NOW - 3)], "clock-skew", "timedatectl"),
        ("dependencies_table", [("score", "..", ["qa"], ["mv"]), ("heartbeat", "", [], [])], "view-attached",
         "DROP VIEW `qa`.`mv`;"),
        ("dependencies_table", [("score", "parts_to_throw_insert = 1, x = 2", [], []), ("heartbeat", "", [], [])],
         "inserts-held", "ALTER TABLE `qa`.`score` RESET SETTING parts_to_throw_insert, "),
        ("dependencies_table", [("score", "", [], [])], "table-differs", "scorestream schema apply"),
        ("HAVING n >", [("score", "202601", 1200)], "parts-many", "OPTIMIZE TABLE `qa`.`score` PARTITION ID '202601';"),
        ("system.detached_parts", [("score", 2, "broken-on-start")], "parts-broken", "scorestream verify --repair"),
        ("system.replicas", [("score", 1, 0, 0)], "replica-readonly", "SYSTEM RESTART REPLICA qa.score;"),
        ("system.replicas", [("score", 0, 61, 0)], "replica-behind", "SYSTEM SYNC REPLICA qa.score;"),
        ("system.replicas", [("score", 0, 0, 1)], "replica-behind", "start the servers"),
    ],
)  # fmt: skip
def test_what_else_is_wrong_with_a_shard(part: str, rows: Sequence[Sequence[Any]], check: str, way_out: str) -> None:
    server = Server()
    server.answers[part] = rows
    (finding,) = found(server)
    assert finding.id == check
    assert way_out in finding.way_out


def test_privileges_are_asked_for_what_the_command_needs() -> None:
    server = Server()
    server.answers["CHECK GRANT"] = [(0,)]
    assert [each.way_out for each in found(server)] == [
        "GRANT SELECT ON `qa`.* TO writer;",
        "GRANT INSERT ON `qa`.* TO writer;",
    ]
    assert "GRANT CREATE DATABASE ON `qa`*.* TO writer;" in [each.way_out for each in found(server, "replay")]
    assert "GRANT ALTER SETTINGS ON `qa`*.* TO writer;" in [each.way_out for each in found(server, "cutover")]


def test_a_server_that_does_not_know_check_grant_is_not_asked_twice_over() -> None:
    server = Server()
    server.answers["CHECK GRANT"] = ClickHouseRefused("syntax error")
    assert found(server) == []


def test_a_cutover_needs_a_database_whose_tables_can_be_exchanged() -> None:
    server = Server()
    server.answers["system.databases"] = [("Ordinary",)]
    assert [each.id for each in found(server, "cutover")] == ["database-engine"]
    assert found(server) == []


def test_the_highest_version_is_read_from_the_newest_parts() -> None:
    asked = []

    def ask(query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        if "system.parts" in query:
            return [("new", 15_000_000), ("older", 6_000_000), ("old", 1)] if values["table"] == "score" else []
        asked.append(values["parts"])
        return [(str(1 << 100),)]

    assert clickhouse.highest_version(ask, "qa") == 1 << 100
    assert asked == [["new", "older"]]
