"""The KafkaConnector that Helm renders has the config that `connectors apply` would send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.rendering import helm_template
from stream.config import Settings
from stream.connect import connector
from testbed.programs import helm

STRIMZI = ("--set", "strimzi.cluster=kafka,strimzi.connector.enabled=true")
OTHERS = {
    "SCORESTREAM_POSTGRES_SOURCE_SCHEMA": "quality-1",
    "SCORESTREAM_POSTGRES_SLOT": "emea",
    "SCORESTREAM_POSTGRES_PUBLICATION": "emea_pub",
    "SCORESTREAM_KAFKA_TOPIC_PREFIX": "emea-3.app.scores",
    "SCORESTREAM_KAFKA_PARTITIONS": 24,
    "SCORESTREAM_KAFKA_REPLICATION_FACTOR": 3,
    "SCORESTREAM_KAFKA_MIN_COMPACTION_LAG_S": 1209600,
}


def connectors(*options: str) -> list[dict[str, Any]]:
    text = helm_template(helm(), *STRIMZI, *options)
    return [each for each in yaml.safe_load_all(text) if each and each["kind"] == "KafkaConnector"]


@pytest.mark.parametrize("others", [{}, OTHERS], ids=["defaults", "all overridden"])
def test_its_config_is_that_of_the_command(
    others: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"settings": others}))
    (found,) = connectors("-f", str(values))
    for name, value in others.items():
        monkeypatch.setenv(name, str(value))
    settings = Settings()
    wanted = connector.config(settings.kafka, settings.postgres, settings.topics)
    assert found["spec"]["class"] == wanted.pop("connector.class")
    assert str(found["spec"]["tasksMax"]) == wanted.pop("tasks.max")
    assert found["spec"]["config"] == wanted
    assert found["metadata"]["name"] == settings.connect.connector


def test_without_its_topics_a_job_creates_them() -> None:
    jobs = [
        each["spec"]["template"]["spec"]["containers"][0]["args"]
        for each in yaml.safe_load_all(helm_template(helm(), *STRIMZI))
        if each and each["kind"] == "Job"
    ]
    assert jobs == [["schema", "apply"], ["topics", "apply"]]
