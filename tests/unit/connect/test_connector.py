"""The connector's config: the JSON is right as it is, and follows the settings."""

import json
import re
from pathlib import Path

import pytest

from stream.config import Settings
from stream.connect import connector
from stream.errors import ConfigError, UsageError
from stream.tables import SOURCES
from stream.wiring import connector_config

DOCUMENT = json.loads(connector.DEFAULT_FILE.read_text("utf-8"))


def settings(**sections):
    return Settings(**sections)


def test_the_file_is_what_the_default_settings_make():
    assert DOCUMENT["name"] == Settings().connect.connector
    assert DOCUMENT["config"] == connector_config(Settings())


def test_every_value_is_text_as_connect_stores_it():
    # Connect answers with text; anything else would make every apply look like a change.
    assert all(isinstance(value, str) for value in DOCUMENT["config"].values())


def test_secrets_and_addresses_are_references():
    config = DOCUMENT["config"]
    for key in ("hostname", "port", "user", "password", "dbname"):
        assert re.fullmatch(r"\$\{env:SCORESTREAM_CDC_[A-Z]+\}", config[f"database.{key}"])


def test_settings_reach_every_key_that_names_what_they_rename():
    renamed = settings(
        postgres={"source_schema": "qa", "slot": "s2", "publication": "p2"},
        kafka={"topic_prefix": "eu.one", "partitions": 4, "replication_factor": 3, "min_compaction_lag_s": 60},
    )

    config = connector_config(renamed)

    # Nothing of the defaults is left, in any value, but the names of tables and columns that are fixed.
    left = {key: value for key, value in config.items() if re.search(r"\bapp\b|scorestream(?!_)|\b16\b", value)}
    assert left == {}
    assert config["table.include.list"] == "qa.chats,qa.scorecards,qa.scores,qa.scorestream_heartbeat"
    assert config["topic.creation.rows.min.compaction.lag.ms"] == "60000"
    assert config["topic.creation.default.replication.factor"] == "3"
    for table in SOURCES:
        assert re.fullmatch(config["topic.creation.rows.include"], renamed.topics.of(table))
    routed = [
        table for table in SOURCES if re.fullmatch(config["predicates.ofScorecard.pattern"], renamed.topics.of(table))
    ]
    assert routed == ["scorecards", "scores"]
    assert not re.fullmatch(config["predicates.ofScorecard.pattern"], "euXone.qa.scores")


@pytest.mark.parametrize("schema", ["Contact-Centre", "order", "2024"])
def test_a_schema_that_sql_must_quote_is_quoted_in_sql_only(schema):
    renamed = settings(postgres={"source_schema": schema})

    config = connector_config(renamed)

    query = config.pop("heartbeat.action.query")
    assert re.findall(r"INSERT INTO (\S+)", query) == [
        f'"{schema}".scorestream_horizon',
        f'"{schema}".scorestream_heartbeat',
    ]
    # Debezium compares these with names as they are, or quotes them itself.
    assert [key for key, value in config.items() if '"' in value] == []
    assert config["signal.data.collection"] == f"{schema}.scorestream_signal"
    key_table = config["message.key.columns"].partition(":")[0]
    assert re.fullmatch(key_table, f"{schema}.scores")
    assert [t for t in SOURCES if re.fullmatch(config["topic.creation.rows.include"], renamed.topics.of(t))] == [
        *SOURCES
    ]


@pytest.mark.parametrize("schema", ["of sales", "a.b", "größe", "a,b", ""])
def test_a_schema_that_no_topic_can_be_named_after_is_refused(schema):
    with pytest.raises(UsageError, match="SCORESTREAM_POSTGRES_SOURCE_SCHEMA"):
        connector_config(settings(postgres={"source_schema": schema}))


def test_a_password_in_the_clear_is_refused_and_not_repeated(tmp_path):
    document = {"name": "x", "config": DOCUMENT["config"] | {"database.password": "hunter2"}}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document))

    with pytest.raises(UsageError, match=r"database\.password") as caught:
        connector_config(settings(connect={"config": path}))

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": 3}'])
def test_a_file_that_is_no_connector_is_a_config_error(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.json"):
        connector_config(settings(connect={"config": path}))


def test_a_missing_file_names_the_setting(tmp_path):
    with pytest.raises(ConfigError, match="SCORESTREAM_CONNECT_CONFIG"):
        connector_config(settings(connect={"config": tmp_path / "none.json"}))


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("database.password", "hunter2", "(hidden)"),
        ("database.password", "${env:X}", "${env:X}"),
        ("database.password", "a${env:X}", "(hidden)"),
        ("producer.override.sasl.jaas.config", "x", "(hidden)"),
        ("key.converter", "x.JsonConverter", "x.JsonConverter"),
        ("slot.name", None, "not set"),
    ],
)
def test_what_is_shown_of_a_value(key, value, shown):
    assert connector.shown(key, value) == shown


SOURCE_SQL = Path(__file__).parents[3] / "connectors" / "source"


def cdc_sql():
    return re.sub(r"--[^\n]*", "", (SOURCE_SQL / "0002_cdc.sql").read_text("utf-8"))


def test_the_publication_holds_what_the_connector_captures():
    published = re.search(r"ALTER PUBLICATION (\w+) SET TABLE\s+(.+?);", cdc_sql(), flags=re.DOTALL)
    config = DOCUMENT["config"]
    assert published[1] == config["publication.name"]
    tables = {name.strip() for name in published[2].split(",")}
    assert tables == {*config["table.include.list"].split(","), config["signal.data.collection"]}


def test_replica_identity_is_full_for_all_source_tables():
    listed = re.search(r"ARRAY\[(.+?)\]::regclass", cdc_sql())[1]
    assert {name.strip(" '") for name in listed.split(",")} == {f"app.{table}" for table in SOURCES}


def test_a_truncate_never_reaches_a_compacted_topic():
    # Its message has no key: the broker refuses it and the task fails for good.
    assert DOCUMENT["config"]["skipped.operations"] == "t"
    assert "publish = 'insert, update, delete'" in cdc_sql()


def test_a_truncate_deletes_first():
    sql = cdc_sql()
    listed = re.search(r"truncated IN\s.+?ARRAY\[(.+?)\]::regclass", sql, re.DOTALL)[1]
    assert {name.strip(" '") for name in listed.split(",")} == {f"app.{table}" for table in SOURCES}
    assert "BEFORE TRUNCATE" in sql


def test_a_copy_writes_a_record_for_each_row():
    sql = cdc_sql()
    listed = re.search(r"copied IN\s.+?ARRAY\[(.+?)\]::regclass", sql, re.DOTALL)[1]
    assert {name.strip(" '") for name in listed.split(",")} == {f"app.{table}" for table in SOURCES}
    assert "BEFORE INSERT ON %s FOR EACH ROW WHEN (false)" in sql


def test_scores_are_keyed_by_what_their_partition_depends_on():
    # A score that moves to another scorecard is then deleted in the partition that it leaves.
    key = DOCUMENT["config"]["message.key.columns"]
    table, _, columns = key.partition(":")
    assert re.fullmatch(table, "app.scores")
    assert not re.fullmatch(table, "app.scorecards")
    assert columns.split(",") == ["scorecard_id", "score_id"]


def test_no_tombstones_are_sent_to_partitions_of_other_keys():
    assert DOCUMENT["config"]["tombstones.on.delete"] == "false"


def test_batches_stay_unsent_until_the_transaction_commits():
    # Else the producer may commit before it has sent the offsets, and then stands still (connectors/README.md).
    config = DOCUMENT["config"]
    assert config["exactly.once.support"] == "required"  # without transactions nothing would flush
    assert config["transaction.boundary"] == "poll"
    assert int(config["producer.override.linger.ms"]) >= 1_000


def test_a_leader_that_is_gone_is_forgotten_soon():
    # Connect's admin client waits for a remembered leader until its timeout (docs/explanation/failures.md); an election
    # of a leader takes 12 s, and what it asks in the meantime is asked again.
    config = DOCUMENT["config"]
    timeouts = [int(config[f"admin.override.{name}.timeout.ms"]) for name in ("default.api", "request")]
    assert timeouts[0] == timeouts[1] <= 10_000  # the client refuses a request that may take longer than the call


def test_only_what_an_owner_without_superuser_may_say_is_said_of_roles():
    # To name one of these, even to refuse it, takes a superuser or a role that has it.
    assert re.findall(r"\b(?:NO)?(?:SUPERUSER|BYPASSRLS|CREATEDB|CREATEROLE)\b|\bNOREPLICATION\b", cdc_sql()) == []
    assert "GRANT rds_replication TO scorestream_cdc" in cdc_sql()


def test_the_roles_get_no_more_than_they_need():
    grants = re.findall(r"GRANT (.+?) ON (.+?) TO (\w+);", re.sub(r"\s+", " ", cdc_sql()))
    captured = ", ".join(f"app.{table}" for table in SOURCES)
    assert ("SELECT", captured, "scorestream_cdc") in grants
    assert {rights for rights, _, role in grants if role == "scorestream_reader"} == {"USAGE", "SELECT"}
    writable = [tables for rights, tables, _ in grants if "INSERT" in rights]
    assert writable == ["app.scorestream_signal, app.scorestream_heartbeat, app.scorestream_horizon"]
    assert "PASSWORD" not in cdc_sql()


def test_keys_that_differ_are_named_and_secrets_only_as_references():
    held = {"a": "1", "b": "2", "gone": "3", "database.password": "open"}
    wanted = {"a": "1", "b": "3", "database.password": "${env:SECRET}"}
    assert connector.differences(held, wanted) == {
        "b": "b: 2 -> 3",
        "database.password": "database.password: (hidden) -> ${env:SECRET}",
        "gone": "gone: 3 -> not set",
    }


def test_an_offset_tells_how_far_the_connector_has_read():
    assert connector.lsn_of({}) is None
    assert connector.lsn_of({"lsn": 12}) == 12
    assert connector.lsn_of({"lsn": 12, "lsn_proc": 12, "lsn_commit": 30}) == 30
