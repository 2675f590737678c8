"""Where processes answer, on a real broker: found while they live, and gone when they have said good-bye."""

from __future__ import annotations

from uuid import uuid4

import pytest
from confluent_kafka.admin import NewTopic

from stream.kafka.announcement import Announcement, announced
from stream.kafka.broker import Broker
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames
from testbed.universe import wait_for


@pytest.mark.stack
def test_processes_are_found_while_they_live(stack_env: dict[str, str]) -> None:
    # given an installation's topic
    prefix = f"found-{uuid4().hex[:8]}"
    settings = KafkaSettings(bootstrap_servers=stack_env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"])
    with Broker(settings, TopicNames(prefix, "app", f"{prefix}.dead-letters")) as broker:
        topic = broker.topics.sources[0]
        broker.admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=-1)])[topic].result()
        try:
            assert announced(broker) == []
            # when two processes say where they answer, and one ends
            with Announcement(broker, url="http://127.0.0.1:6066", role="worker"):
                with Announcement(broker, url="http://127.0.0.1:40001", role="replay"):
                    both = ["http://127.0.0.1:40001", "http://127.0.0.1:6066"]
                    wait_for("both are found", lambda: announced(broker) == both, deadline_s=30)
                # then the other is left, without a wait for a session to end
                wait_for("one is left", lambda: announced(broker) == both[1:], deadline_s=10)
        finally:
            broker.admin.delete_topics([topic])[topic].result()
