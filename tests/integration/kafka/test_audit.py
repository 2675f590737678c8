"""The audit trail on a real broker."""

from __future__ import annotations

from uuid import uuid4

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType

from stream.kafka import audit
from stream.kafka.audit import Record
from stream.kafka.broker import Broker
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames


@pytest.mark.stack
def test_records_are_appended_to_a_topic_that_keeps_them_all(stack_env: dict[str, str]) -> None:
    # given brokers without the topic
    prefix = f"audit-{uuid4().hex[:8]}"
    settings = KafkaSettings(bootstrap_servers=stack_env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"])
    with Broker(settings, TopicNames(prefix, "app", f"{prefix}.dead-letters")) as broker:
        assert audit.read(broker) == []
        try:
            # when two calls leave their records
            for run, at_ms in (("a", 1_000), ("b", 2_000)):
                for outcome in ("started", "succeeded"):
                    audit.write(
                        broker,
                        Record(run=run, at_ms=at_ms, who="ann@host", pid=1, command="recover", outcome=outcome),
                        timeout_s=10,
                    )
            # then both are read, and a time chooses among them
            assert [(each.began.run, each.outcome) for each in audit.read(broker)] == [
                ("a", "succeeded"),
                ("b", "succeeded"),
            ]
            assert [each.began.run for each in audit.read(broker, since_ms=1_500)] == ["b"]
            # and the brokers neither compact nor age the topic
            resource = ConfigResource(ResourceType.TOPIC, broker.topics.audit)
            options = broker.admin.describe_configs([resource])[resource].result()
            assert {name: options[name].value for name in ("cleanup.policy", "retention.ms")} == {
                "cleanup.policy": "delete",
                "retention.ms": "-1",
            }
        finally:
            broker.admin.delete_topics([broker.topics.audit])[broker.topics.audit].result()
