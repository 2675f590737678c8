"""The chart's resources for Strimzi, by the checked-in rendering: topics and rights are those that the code needs."""

import re

import pytest

from docs.rendering import OPERATORS, ROOT
from stream import config
from stream.connect import connector
from stream.kafka import audit, topics
from stream.replay.state import group_of
from stream.topic_names import TopicNames
from tests.unit.test_chart import container_of, environment, of_kind


@pytest.fixture
def settings(monkeypatch, tmp_path):
    worker = of_kind(OPERATORS, "Deployment")["emea-worker"]
    for name, value in environment(worker, tmp_path).items():
        monkeypatch.setenv(name, value)
    return config.load()


def test_every_topic_is_there_as_the_code_wants_it(settings):
    found = {each["spec"]["topicName"]: each for each in of_kind(OPERATORS, "KafkaTopic").values()}
    for wanted in topics.wanted(settings.kafka, settings.topics):
        topic = found.pop(wanted.name)
        assert topic["spec"]["partitions"] == wanted.partitions, wanted.name
        options = dict(topic["spec"]["config"])
        assert options.pop("min.insync.replicas") == "2"
        assert options == wanted.options, wanted.name
    assert all(each["spec"]["partitions"] == 1 for each in found.values())
    trail = dict(found.pop(settings.topics.audit)["spec"]["config"])
    trail.pop("min.insync.replicas")
    assert trail == audit.OPTIONS
    # What is left holds the state of jobs: a topic of stream/topic_names.py that is missing here is one more of these.
    assert all(each["spec"]["config"]["cleanup.policy"] == "compact" for each in found.values())
    properties = [
        getattr(settings.topics, name) for name, each in vars(TopicNames).items() if isinstance(each, property)
    ]
    names = {name for each in properties for name in ([each] if isinstance(each, str) else each)}
    assert set(found) == names - {wanted.name for wanted in topics.wanted(settings.kafka, settings.topics)} - {
        settings.topics.audit
    }


def test_resources_have_names_that_kubernetes_takes_and_topics_survive_the_release():
    for name, topic in of_kind(OPERATORS, "KafkaTopic").items():
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name)
        assert topic["metadata"]["labels"]["strimzi.io/cluster"] == "kafka"
        assert topic["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def allowed(user, kind, name):
    """Operations that a user may do on a resource."""
    found = set()
    for acl in of_kind(OPERATORS, "KafkaUser")[user]["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        matches = name.startswith(resource["name"]) if resource["patternType"] == "prefix" else name == resource["name"]
        if resource["type"] == kind and matches:
            found |= set(acl["operations"])
    return found


def test_the_user_of_the_processes_has_the_least_rights_that_they_need(settings):
    names, group = settings.topics, settings.kafka.group
    assert settings.kafka.sasl_username == "emea-kafka"
    reads = {"Describe", "DescribeConfigs", "Read"}
    for name in (*names.sources, names.notifications, names.of("scorestream_heartbeat"), names.debezium_heartbeat):
        assert allowed("emea-kafka", "topic", name) == reads, name
    for name in (names.dead_letters, names.settled_letters, names.replays, names.backfills, names.outages, names.audit):
        assert allowed("emea-kafka", "topic", name) == reads | {"Create", "Write"}, name
    assert allowed("emea-kafka", "topic", "of-another") == set()
    assert allowed("emea-kafka", "group", group) == {"Describe", "Read"}
    assert allowed("emea-kafka", "group", group_of(names, "march")) == {"Delete", "Describe", "Read"}
    # Consumers that never join a group still ask for its coordinator.
    for passing in ("scorestream-lag-1", "scorestream-state-1", "scorestream-times", f"{names.prefix}-dead-letters"):
        assert allowed("emea-kafka", "group", passing) == {"Describe"}


def test_connect_may_write_the_log_in_transactions(settings):
    (connect,) = of_kind(OPERATORS, "KafkaConnect").values()
    user, group = connect["metadata"]["name"], connect["spec"]["groupId"]
    for name in (*settings.topics.sources, settings.topics.notifications, settings.topics.debezium_heartbeat):
        assert {"Create", "Describe", "Write"} <= allowed(user, "topic", name)
    for key in ("configStorageTopic", "offsetStorageTopic", "statusStorageTopic"):
        assert {"Create", "Read", "Write"} <= allowed(user, "topic", connect["spec"][key])
    assert allowed(user, "group", group) == {"Describe", "Read"}
    for transactional in (f"connect-cluster-{group}", f"{group}-{settings.connect.connector}-0"):
        assert allowed(user, "transactionalId", transactional) == {"Describe", "Write"}


def test_connect_provides_what_the_connector_refers_to():
    (connect,) = of_kind(OPERATORS, "KafkaConnect").values()
    referred = set(re.findall(r"\$\{env:(\w+)\}", connector.DEFAULT_FILE.read_text("utf-8")))
    given = {each["name"]: each for each in connect["spec"]["template"]["connectContainer"]["env"]}
    assert set(given) == referred
    assert "valueFrom" in given["SCORESTREAM_CDC_PASSWORD"]
    options = connect["spec"]["config"]
    allowed_names = re.compile(options["config.providers.env.param.allowlist.pattern"])
    assert all(allowed_names.fullmatch(name) for name in referred)
    assert options["exactly.once.source.support"] == "enabled"
    pom = (ROOT / "connectors/pom.xml").read_text("utf-8")
    (plugin,) = connect["spec"]["build"]["plugins"]
    assert plugin["artifacts"][0]["version"] == re.search(r"<debezium\.version>(.+?)<", pom)[1]


def test_where_strimzi_owns_the_connector_no_job_applies_it_and_commands_step_back(settings):
    assert set(of_kind(OPERATORS, "Job")) == {"emea-schema", "emea-march"}
    assert settings.connect.managed_by == "strimzi"
    assert settings.connect.urls == ["http://emea-connect-connect-api:8083"]
    (policy,) = [each for name, each in of_kind(OPERATORS, "NetworkPolicy").items() if name == "emea-connect-monitor"]
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": 8083}]


def test_a_replay_into_a_shadow_runs_as_the_operator():
    job = of_kind(OPERATORS, "Job")["emea-march"]
    own = {each["name"]: each for each in container_of(job)["env"]}
    assert own["SCORESTREAM_CLICKHOUSE_USER"]["value"] == "scorestream_operator"
    reference = own["SCORESTREAM_CLICKHOUSE_PASSWORD"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "emea-operator", "key": "SCORESTREAM_CLICKHOUSE_PASSWORD"}
