"""`scorestream doctor` on a real stack: nothing while all is well, and each thing broken by hand by its name.

Each fault is one test: broken, found, corrected by the statement or the command that was printed, and gone.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import urllib3
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from devstack.stack import Stack
from testbed import oracle
from testbed.universe import Universe, Worker, wait_for

pytestmark = pytest.mark.stack


@dataclass
class Site:
    """A universe whose chain is whole, with a worker."""

    universe: Universe
    worker: Worker
    env: dict[str, str] = field(default_factory=dict)  # of the doctor's calls, instead of the universe's

    def doctor(self, *options: str) -> list[dict[str, str]]:
        """The findings. Exit code 1 stands for an error among them."""
        code, printed, said = self.universe.call("doctor", "--json", *options, **self.env)
        assert code in (0, 1), said
        found: list[dict[str, str]] = json.loads(printed)["findings"]
        assert code == any(each["severity"] == "error" for each in found)
        return found

    def sql(self, statement: str) -> None:
        with self.universe.postgres() as connection:
            connection.execute(statement)

    def shard(self, number: int, statement: str) -> None:
        url = self.universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")[number]
        client = oracle.client_of(url, self.universe.env)
        try:
            client.command(statement)
        finally:
            client.close()

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})

    def topic_option(self, topic: str, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result()

    def configure(self, name: str, value: str) -> None:
        """Give the connector another value, as an operator does over Connect's REST interface."""
        url = f"{self.universe.env['SCORESTREAM_CONNECT_URL']}/connectors/{self.universe.name}/config"
        held = urllib3.request("GET", url).json()
        assert urllib3.request("PUT", url, json=held | {name: value}).status == 200

    def correct(self, way_out: str) -> None:
        """Run what was printed: SQL on Postgres or on both shards, a command of this program, or one of Kafka's."""
        name = self.universe.name
        if way_out.startswith("scorestream "):
            code, printed, said = self.universe.call(*shlex.split(way_out)[1:])
            assert code == 0, (way_out, printed, said)
        elif way_out.startswith("kafka-configs.sh"):
            found = re.search(r"--entity-name (\S+) --add-config (\S+?)=(\S+)$", way_out)
            assert found, way_out
            self.topic_option(*found.groups())
        elif f"`{name}`" in way_out or f" {name}." in way_out:
            for number in (0, 1):
                self.shard(number, way_out.partition("; --")[0].rstrip(";"))
        elif way_out.startswith("chmod "):
            _, mode, path = way_out.split()
            Path(path).chmod(int(mode, 8))
        else:
            self.sql(way_out)


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    universe = Universe(stack.env(), tmp_path_factory.mktemp("doctor"))
    try:
        universe.set_up()
        with universe.worker() as worker:
            made = Site(universe, worker)
            wait_for("a whole chain", lambda: not made.doctor())
            yield made
    finally:
        universe.close()


Fault = Callable[[Site], Any]
_ROLE = "ALTER ROLE scorestream_cdc IN DATABASE {name}"
_PG, _KAFKA, _CONNECT, _CH = "postgres", "kafka", "connect", "clickhouse"
SQL = {
    "a publication that is gone": ("publication-missing", "DROP PUBLICATION scorestream"),
    "a table left out": ("publication-table", "ALTER PUBLICATION scorestream DROP TABLE app.scores"),
    "rows left out": (
        "publication-part",
        "ALTER PUBLICATION scorestream DROP TABLE app.scores; "
        "ALTER PUBLICATION scorestream ADD TABLE app.scores WHERE (numeric_value > 0)",
    ),
    "operations left out": (
        "publication-operations",
        "ALTER PUBLICATION scorestream SET (publish = 'insert, update')",
    ),
    "a table that was replaced": (
        "publication-table",
        "CREATE TABLE app.new (LIKE app.scores INCLUDING ALL); ALTER TABLE app.new REPLICA IDENTITY FULL; "
        "ALTER TABLE app.scores RENAME TO old; ALTER TABLE app.new RENAME TO scores; "
        "GRANT SELECT ON app.scores TO scorestream_cdc, scorestream_reader; "
        "CREATE TRIGGER scorestream_truncate BEFORE TRUNCATE ON app.scores "
        "FOR EACH STATEMENT EXECUTE FUNCTION app.scorestream_delete_first(); "
        "CREATE TRIGGER scorestream_one_by_one BEFORE INSERT ON app.scores "
        "FOR EACH ROW WHEN (false) EXECUTE FUNCTION app.scorestream_no_op()",
    ),
    "no before-images": ("replica-identity", "ALTER TABLE app.scorecards REPLICA IDENTITY DEFAULT"),
    "a revoked grant of the workers": ("grant-missing", "REVOKE SELECT ON app.scorecards FROM scorestream_reader"),
    "a revoked grant of the connector": (
        "grant-missing",
        "REVOKE INSERT, UPDATE ON app.scorestream_signal FROM scorestream_cdc",
    ),
    "a schema that is closed": ("grant-missing", "REVOKE USAGE ON SCHEMA app FROM scorestream_cdc"),
    "no trigger": ("truncate-trigger", "ALTER TABLE app.scorecards DISABLE TRIGGER scorestream_truncate"),
    "no row trigger": ("copy-trigger", "DROP FUNCTION app.scorestream_no_op CASCADE"),
    "a row trigger that is off": ("copy-trigger", "ALTER TABLE app.scores DISABLE TRIGGER scorestream_one_by_one"),
    "no index": ("index-missing", "DROP INDEX app.scorecards_conversation_id"),
    "a type that is not carried": (
        "type-not-carried",
        "ALTER TABLE app.chats ALTER COLUMN started_at TYPE timetz USING NULL",
    ),
    "a renamed column": ("column-missing", "ALTER TABLE app.scorecards RENAME COLUMN submitted_at TO sent_at"),
    "a timeout": ("role-timeout", _ROLE + " SET statement_timeout = '5s'"),
}
OTHERS: dict[str, tuple[str, str, Fault]] = {
    "a paused connector": (_CONNECT, "connector-paused", lambda s: s.universe.done("connectors", "pause")),
    "a stopped connector": (_CONNECT, "connector-paused", lambda s: s.universe.done("connectors", "stop")),
    "another config": (_CONNECT, "connector-config", lambda s: s.configure("poll.interval.ms", "70")),
    "no connector": (_CONNECT, "connector-missing", lambda s: s.universe.done("connectors", "delete")),
    "a topic that is not compacted": (
        _KAFKA,
        "topic-cleanup",
        lambda s: s.topic_option(f"{s.universe.name}.app.scores", "cleanup.policy", "delete"),
    ),
    "changes compacted too early": (
        _KAFKA,
        "topic-option",
        lambda s: s.topic_option(f"{s.universe.name}.app.chats", "min.compaction.lag.ms", "0"),
    ),
    "a topic that is gone": (
        _KAFKA,
        "topic-missing",
        lambda s: [f.result() for f in s.admin.delete_topics([f"{s.universe.name}.notifications"]).values()],
    ),
    "a column that is gone": (_CH, "column-differs", lambda s: both(s, "ALTER TABLE {}.score DROP COLUMN comment")),
    "a column of another type": (
        _CH,
        "column-differs",
        lambda s: both(s, "ALTER TABLE {}.scorecard MODIFY COLUMN score Nullable(Float32)"),
    ),
    "a column too many": (_CH, "column-extra", lambda s: both(s, "ALTER TABLE {}.score ADD COLUMN mine Int8")),
    "a view that is gone": (_CH, "table-differs", lambda s: both(s, "DROP VIEW {}.score_current")),
    "a materialized view": (
        _CH,
        "view-attached",
        lambda s: both(
            s, "CREATE MATERIALIZED VIEW {}.mv ENGINE = MergeTree ORDER BY score_id AS SELECT score_id FROM {}.score"
        ),
    ),
    "inserts held back": (
        _CH,
        "inserts-held",
        lambda s: both(
            s,
            "ALTER TABLE {}.score MODIFY SETTING parts_to_throw_insert = 1, "
            "max_avg_part_size_for_too_many_parts = 9000000000000000000",
        ),
    ),
}


def both(site: Site, statement: str) -> None:
    for number in (0, 1):
        site.shard(number, statement.replace("{}", site.universe.name))


def found(site: Site, check: str, *options: str) -> list[dict[str, str]]:
    return [each for each in site.doctor(*options) if each["id"] == check]


def is_found_and_corrected(site: Site, system: str, check: str, *options: str) -> None:
    told = wait_for(check, lambda: found(site, check, "--only", system, *options))
    # each finding names what is wrong, and corrects it: shards that lack the same have the same statement
    for way_out in dict.fromkeys(each["way_out"] for each in told):
        site.correct(way_out)
    wait_for("a whole system", lambda: not site.doctor("--only", system, *options))


@pytest.mark.parametrize("name", SQL)
def test_what_is_wrong_with_the_source_is_found_and_its_sql_corrects_it(site: Site, name: str) -> None:
    check, statement = SQL[name]
    site.sql(statement.format(name=site.universe.name))
    is_found_and_corrected(site, _PG, check)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_wrong_behind_the_source_is_found_and_corrected(site: Site, name: str) -> None:
    system, check, fault = OTHERS[name]
    fault(site)
    is_found_and_corrected(site, system, check)


def test_row_level_security_is_found_for_both_roles(site: Site) -> None:
    site.sql("ALTER TABLE app.scorecards ENABLE ROW LEVEL SECURITY")
    try:
        told = found(site, "row-security", "--only", "postgres")
        assert {each["way_out"] for each in told} == {
            'ALTER ROLE "scorestream_cdc" BYPASSRLS;',
            'ALTER ROLE "scorestream_reader" BYPASSRLS;',
        }
    finally:  # the roles are those of all tests
        site.sql("ALTER TABLE app.scorecards DISABLE ROW LEVEL SECURITY")


def test_a_transaction_that_holds_the_slot_back_is_found_by_a_role_that_may_not_see_its_start(site: Site) -> None:
    holder = site.universe.postgres()
    try:
        # given a transaction of another role, which has an id
        holder.execute("BEGIN; UPDATE app.chats SET customer_id = customer_id; SELECT pg_current_xact_id()")
        is_found_and_corrected(site, "postgres", "transaction-long", "--max-transaction", "2s")
    finally:
        holder.close()


@contextmanager
def told_with(site: Site, **env: str) -> Iterator[None]:
    site.env = env
    try:
        yield
    finally:
        site.env = {}


@pytest.mark.parametrize(
    ("env", "system", "check"),
    [
        ({"SCORESTREAM_POSTGRES_PASSWORD": "wrong"}, "postgres", "postgres-unreachable"),
        ({"SCORESTREAM_CLICKHOUSE_PASSWORD": "wrong"}, "clickhouse", "shard-unreachable"),
        ({"SCORESTREAM_CONNECT_URL": "http://127.0.0.1:9"}, "connect", "connect-unreachable"),
        ({"SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, "kafka", "kafka-unreachable"),
        ({"SCORESTREAM_KAFKA_PARTITIONS": "8"}, "kafka", "topic-partitions"),
        ({"SCORESTREAM_POSTGRES_SLOT": "another"}, "postgres", "slot-missing"),
        ({"SCORESTREAM_KAFKA_GROUP": "another"}, "processes", "group-empty"),
        ({"SCORESTREAM_MONITOR_PROCESSES": "http://127.0.0.1:9"}, "processes", "process-silent"),
        ({"SCORESTREAM_CLICKHOUSE_CA_CERT": "/nowhere/ca.pem"}, "settings", "file-unreadable"),
    ],
)
def test_a_setting_that_leads_elsewhere_is_found(site: Site, env: dict[str, str], system: str, check: str) -> None:
    with told_with(site, **env):
        told = found(site, check, "--only", system, "--timeout", "3")
    assert told
    assert "wrong" not in json.dumps([each["what"] for each in told])


def test_shards_in_another_order_are_found(site: Site) -> None:
    swapped = ",".join(reversed(site.universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")))
    with told_with(site, SCORESTREAM_CLICKHOUSE_SHARDS=swapped):
        told = found(site, "shard-other", "--only", "clickhouse")
    assert len(told) == 4  # two tables on each of two shards


def test_a_secret_that_others_can_read_is_found(site: Site) -> None:
    secret = site.universe.folder / "password"
    secret.write_text(site.universe.env["SCORESTREAM_POSTGRES_PASSWORD"])
    secret.chmod(0o644)
    with told_with(site, SCORESTREAM_POSTGRES_PASSWORD=None, SCORESTREAM_POSTGRES_PASSWORD_FILE=str(secret)):
        is_found_and_corrected(site, "settings", "secret-open")


def test_a_config_that_connect_refuses_is_found(site: Site) -> None:
    document = json.loads(site.universe.connector_file.read_text("utf-8"))
    document["config"]["snapshot.mode"] = "sometimes"
    other = site.universe.folder / "other.json"
    other.write_text(json.dumps(document), "utf-8")
    with told_with(site, SCORESTREAM_CONNECT_CONFIG=str(other)):
        (told,) = found(site, "connector-invalid", "--only", "connect")
    assert told["what"].startswith("snapshot.mode = sometimes: ")


def test_versions_of_another_cluster_are_found(site: Site) -> None:
    # given a row whose version no change of this server can have
    row = "generateUUIDv4(), '2026-01-01', 1, generateUUIDv4(), bitShiftLeft(toUInt128(1), 112)"
    names = "customer_id, scorecard_id, event_time, is_process, template_id, _version"
    site.shard(0, f"INSERT INTO {site.universe.name}.scorecard ({names}) SELECT 'acme', {row}")
    try:
        (told,) = found(site, "versions-ahead")
        assert "versions of epoch 1" in told["what"]
        assert told["way_out"] == "scorestream recover"
        assert "VERSION_EPOCH_STARTS" in site.universe.run("recover", "--dry-run", check=False).stderr
        # then the setting that this names makes it right
        with told_with(site, SCORESTREAM_VERSION_EPOCH_STARTS="2026-01-01T00:00:00Z"):
            assert not found(site, "versions-ahead")
    finally:
        site.shard(0, f"TRUNCATE TABLE {site.universe.name}.scorecard")


def test_what_a_command_needs_is_asked_for_it_alone(site: Site) -> None:
    reader = {"SCORESTREAM_BACKFILL_DSN": site.universe.env["SCORESTREAM_POSTGRES_DSN"]}
    reader["SCORESTREAM_BACKFILL_PASSWORD"] = site.universe.env["SCORESTREAM_POSTGRES_PASSWORD"]
    with told_with(site, **reader):
        assert not site.doctor()
        (told,) = found(site, "signal-grant", "--for", "backfill")
    assert "GRANT SELECT, INSERT, UPDATE" in told["way_out"]
    for purpose in ("replay", "cutover", "backfill"):
        assert not site.doctor("--for", purpose)


def test_afterwards_nothing_is_wrong_and_the_worker_has_lived_through_it(site: Site) -> None:
    wait_for("a whole chain", lambda: not site.doctor())
    code, printed, _ = site.universe.call("doctor")
    assert code == 0
    assert printed.splitlines()[-1].startswith("healthy: nothing is wrong (")
    assert [line.split() for line in printed.splitlines()[:-1]] == [
        [system, "ok"] for system in ("postgres", "kafka", "connect", "clickhouse", "settings", "processes")
    ]
    assert site.worker.alive()


def test_without_slot_and_worker_both_are_found(site: Site) -> None:
    # given no worker, and a slot that was dropped under a stopped connector
    assert site.worker.stop() == 0
    site.universe.done("connectors", "stop")
    site.sql(f"SELECT pg_drop_replication_slot('{site.universe.name}')")
    told = {each["id"]: each["way_out"] for each in site.doctor()}
    # then the doctor names all three, and the way back
    assert told.keys() == {"slot-missing", "connector-paused", "group-empty"}
    assert "recover" in told["slot-missing"]
