"""What is said of a topic's replication."""

from __future__ import annotations

import pytest

from stream.config import Settings
from stream.kafka.topics import durability, wanted
from stream.settings_sections import KafkaSettings
from stream.wiring import connector_config


@pytest.mark.parametrize(
    ("brokers", "replicas", "in_sync", "warned"),
    [
        (1, 1, 1, ""),
        (2, 1, 1, ""),
        (3, 1, 1, "replication factor 1 with 3 brokers"),
        (5, 2, 1, "replication factor 2 with 5 brokers"),
        (3, 3, 1, "min.insync.replicas 1"),
        (3, 3, 2, ""),
        (3, 3, 3, "no broker may be away"),
    ],
)
def test_replication_is_judged_where_there_are_three_brokers(
    brokers: int, replicas: int, in_sync: int, warned: str
) -> None:
    found = durability(brokers, replicas, in_sync)
    assert found == [] if not warned else warned in found[0]


def test_the_brokers_choose_the_replication_factor() -> None:
    assert KafkaSettings().replication_factor == -1


def test_the_wanted_topics_follow_the_settings():
    settings = Settings(
        kafka={"topic_prefix": "p", "partitions": 3, "min_compaction_lag_s": 5, "dead_letter_topic": "dl"}
    )
    topics = {topic.name: topic for topic in wanted(settings.kafka, settings.topics)}
    for table in ("chats", "scorecards", "scores"):
        assert topics[f"p.app.{table}"].partitions == 3
        assert topics[f"p.app.{table}"].options["cleanup.policy"] == "compact"
        assert topics[f"p.app.{table}"].options["min.compaction.lag.ms"] == "5000"
    assert topics["dl"].options["retention.ms"] == "-1"
    assert connector_config(settings)["notification.sink.topic.name"] in topics
    assert len(topics) == 8
