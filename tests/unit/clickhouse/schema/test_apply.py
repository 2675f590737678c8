"""The DDL against stream/tables.py, and what `schema status` finds."""

import re
from types import SimpleNamespace

import pytest

from stream.clickhouse.schema import apply as schema_apply
from stream.clickhouse.shards import Shards
from stream.errors import UsageError
from stream.settings_sections import ClickHouseSettings
from stream.tables import SCORE, SCORECARD, TARGETS

OWN = {"_version": "UInt128", "_deleted": "UInt8", "_indexed_at": "DateTime64(3, 'UTC')"}


def ddl_of(name, database="db"):
    (found,) = [s for s in schema_apply.statements(database) if f"`{database}`.`{name}`" in s.splitlines()[0]]
    return found


def columns_of(statement):
    """Name -> type, in order, of a CREATE TABLE; a type ends before CODEC or DEFAULT or the comma."""
    lines = re.findall(r"^    `(\w+)`\s+(.+?)(?: CODEC.*| DEFAULT.*)?,?$", statement, flags=re.MULTILINE)
    return dict(lines)


@pytest.mark.parametrize("table", TARGETS, ids=lambda table: table.target)
def test_the_tables_have_the_columns_of_tables_py_in_their_order(table):
    wanted = {column.name: column.clickhouse_type for column in table.all_columns} | OWN
    held = columns_of(ddl_of(table.target))
    assert held == wanted
    assert list(held) == list(wanted)
    assert schema_apply.columns(table) == wanted


@pytest.mark.parametrize("table", TARGETS, ids=lambda table: table.target)
def test_rows_replace_each_other_by_version_and_never_across_event_times(table):
    statement = ddl_of(table.target)
    assert "ENGINE = ReplacingMergeTree(_version, _deleted)\n" in statement
    assert f"PARTITION BY {schema_apply.PARTITION_KEY}\n" in statement
    assert f"ORDER BY ({schema_apply.sorting_key(table)})\n" in statement
    assert schema_apply.sorting_key(table).endswith(", event_time")
    assert "non_replicated_deduplication_window = 0" in statement


@pytest.mark.parametrize("table", TARGETS, ids=lambda table: table.target)
def test_the_views_show_all_columns_but_the_indexers_own(table):
    statement = ddl_of(schema_apply.view_of(table))
    shown = re.search(r"SELECT\s+(.+?)\s+FROM", statement, flags=re.DOTALL)[1]
    assert [name.strip() for name in shown.split(",")] == [column.name for column in table.all_columns]
    assert statement.endswith(f"FROM `db`.`{table.target}` FINAL")


def test_statements_are_whole_and_name_the_database_everywhere():
    found = schema_apply.statements("shadow_7")
    assert [statement.split("`")[0].strip() for statement in found] == [
        "CREATE DATABASE IF NOT EXISTS",
        "CREATE TABLE IF NOT EXISTS",
        "CREATE TABLE IF NOT EXISTS",
        "CREATE OR REPLACE VIEW",
        "CREATE OR REPLACE VIEW",
        "CREATE TABLE IF NOT EXISTS",
        "CREATE TABLE IF NOT EXISTS",
    ]
    assert not [statement for statement in found if re.search(r"[{};]|--|ON CLUSTER|Replicated\w", statement)]
    assert all("`shadow_7`" in statement for statement in found)


def test_on_a_cluster_every_statement_spreads_and_tables_are_replicated():
    found = schema_apply.statements("db", "main")
    assert all(" ON CLUSTER `main`" in statement for statement in found)
    assert sum("ENGINE = ReplicatedReplacingMergeTree(_version, _deleted)" in statement for statement in found) == 2
    assert schema_apply.target_shards(ClickHouseSettings(shards="http://a,http://b", cluster="main")) == [0]
    assert schema_apply.target_shards(ClickHouseSettings(shards="http://a,http://b")) == [0, 1]


@pytest.mark.parametrize("name", ["a b", "x`; DROP DATABASE y", "", "1a"])
def test_names_that_would_need_quoting_are_refused(name):
    with pytest.raises(UsageError, match="database or cluster"):
        schema_apply.statements(name)


class Server:
    """A shard: system tables, changed by a test before it looks."""

    def __init__(self, shard=0):
        self.tables = {}
        self.policies = []
        self.columns = {}
        for table in TARGETS:
            self.tables[table.target] = [
                "ReplacingMergeTree",
                "ReplacingMergeTree(_version, _deleted) PARTITION BY toYYYYMM(event_time) ...",
                "toYYYYMM(event_time)",
                "customer_id, scorecard_id",
                schema_apply.sorting_key(table),
                f"scorestream shard {shard} of 2, buckets of 1 days",
            ]
            self.columns[table.target] = schema_apply.columns(table)
            self.tables[f"{table.target}_current"] = ["View", "", "", "", "", ""]
            self.columns[f"{table.target}_current"] = {c.name: c.clickhouse_type for c in table.all_columns}
        self.commands = []

    def query(self, text, parameters=None):
        if "system.row_policies" in text:
            return SimpleNamespace(result_rows=self.policies)
        if "SELECT name, comment" in text:
            rows = [(name, self.tables[name][-1]) for name in ("score", "scorecard") if name in self.tables]
            return SimpleNamespace(result_rows=rows)
        if "system.tables" in text:
            return SimpleNamespace(result_rows=[(name, *rest) for name, rest in self.tables.items()])
        return SimpleNamespace(
            result_rows=[(table, name, kind) for table, held in self.columns.items() for name, kind in held.items()]
        )

    def command(self, text, settings=None):
        self.commands.append(text)

    def close(self):
        pass


@pytest.fixture
def servers(monkeypatch):
    both = [Server(0), Server(1)]
    monkeypatch.setattr("stream.clickhouse.shards.connect", lambda _settings, shard, **_: both[shard])
    return both


SETTINGS = ClickHouseSettings(shards="http://a:1,http://b:2")


def test_shards_as_the_ddl_makes_them_have_no_differences(servers):
    assert schema_apply.status(Shards(SETTINGS)) == []


def test_status_names_shard_table_column_and_fault(servers):
    held = servers[1]
    del held.columns["score"]["ai_value"]
    held.columns["score"]["x"] = "Int8"
    held.columns["scorecard"]["score"] = "Float64"
    del held.tables["scorecard_current"]
    held.tables["score"][0:2] = ["MergeTree", "MergeTree PARTITION BY toYYYYMM(event_time)"]
    held.tables["score"][4] = "customer_id, scorecard_id, score_id"
    held.tables["score"][5] = "scorestream shard 0 of 2, buckets of 1 days"
    held.policies = [("tenants", "", "customer_id = 'a'", 1), ("all", "score", "1", 1)]

    found = schema_apply.status(Shards(SETTINGS))

    assert {(each.shard, each.name, each.fault) for each in found} == {
        (1, "score.ai_value", "missing (Nullable(Float64))"),
        (1, "score.x", "extra (Int8)"),
        (1, "scorecard.score", "type Float64, not Nullable(Float64)"),
        (1, "scorecard_current", "missing"),
        (1, "score", "engine MergeTree, not ReplacingMergeTree(_version, _deleted)"),
        (
            1,
            "score",
            "its comment says `scorestream shard 0 of 2, buckets of 1 days`, not `scorestream shard 1 of 2, "
            "buckets of 1 days`",
        ),
        (1, "*", "row policy tenants hides rows from this user"),
        (1, "score", "sort key customer_id, scorecard_id, score_id, not " + schema_apply.sorting_key(SCORE)),
    }


def test_apply_runs_every_statement_on_every_shard(servers):
    done = list(schema_apply.apply(Shards(SETTINGS, database="shadow")))
    assert done == [(0, len(servers[0].commands)), (1, len(servers[1].commands))]
    assert servers[0].commands == servers[1].commands == schema_apply.statements("shadow")


def test_tables_without_their_place_get_it_and_keep_the_operators_words(servers):
    servers[0].tables["score"][-1] = "team O'Neil"
    servers[1].tables["scorecard"][-1] = ""
    done = list(schema_apply.apply(Shards(SETTINGS)))
    assert servers[0].commands[-1] == (
        "ALTER TABLE `scorestream`.`score` MODIFY COMMENT 'team O\\'Neil; scorestream shard 0 of 2, buckets of 1 days'"
    )
    assert servers[1].commands[-1] == (
        "ALTER TABLE `scorestream`.`scorecard` MODIFY COMMENT 'scorestream shard 1 of 2, buckets of 1 days'"
    )
    assert done == [(0, len(servers[0].commands)), (1, len(servers[1].commands))]


def test_on_a_cluster_each_shard_gets_its_own_place_although_the_ddl_spreads(servers):
    for server in servers:
        server.tables["score"][-1] = ""
    settings = SETTINGS.model_copy(update={"cluster": "main"})
    list(schema_apply.apply(Shards(settings)))
    assert all("ON CLUSTER" in sql for sql in servers[0].commands[:-1])
    assert servers[0].commands[-1].endswith("`score` MODIFY COMMENT 'scorestream shard 0 of 2, buckets of 1 days'")
    assert servers[1].commands == [
        "ALTER TABLE `scorestream`.`score` MODIFY COMMENT 'scorestream shard 1 of 2, buckets of 1 days'"
    ]


@pytest.mark.parametrize(
    "changed", [{"shards": ["http://b:2", "http://a:1"]}, {"shard_bucket_days": 7}], ids=["order", "bucket"]
)
def test_another_order_or_bucket_of_the_shards_is_refused_before_anything_runs(servers, monkeypatch, changed):
    # given tables that say which shard they are
    by_url = {"http://a:1": servers[0], "http://b:2": servers[1]}
    monkeypatch.setattr("stream.clickhouse.shards.connect", lambda own, shard, **_: by_url[own.shards[shard]])
    with pytest.raises(UsageError, match=r"says `scorestream shard \d of 2, buckets of 1 days`.*nothing was changed"):
        list(schema_apply.apply(Shards(SETTINGS.model_copy(update=changed))))
    assert servers[0].commands == servers[1].commands == []


def test_sort_keys_differ_by_the_score_only():
    assert schema_apply.sorting_key(SCORECARD) == "customer_id, scorecard_id, event_time"
    assert schema_apply.sorting_key(SCORE) == "customer_id, scorecard_id, score_id, event_time"
