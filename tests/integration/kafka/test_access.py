"""Open transactions and permissions on a real broker, which has no authorizer and so denies nothing."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream.kafka.access import Access
from stream.kafka.broker import Broker
from stream.kafka.connect_workers import connect_workers
from stream.kafka.permissions import missing
from stream.kafka.topic_partition import TP
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames
from testbed.universe import wait_for


@pytest.mark.stack
def test_a_transaction_is_open_from_its_first_message_until_it_ends(stack_env: dict[str, str]) -> None:
    servers = stack_env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]
    topic = f"access-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])[topic].result()
    broker = Broker(KafkaSettings(bootstrap_servers=servers), TopicNames("x", "app", "x.dead-letters"))
    access = Access(broker)
    producer = Producer({"bootstrap.servers": servers, "transactional.id": topic})
    try:
        producer.init_transactions(10)
        # given a committed transaction in one partition, and an open one in the other
        producer.begin_transaction()
        producer.produce(topic, b"committed", partition=0)
        producer.commit_transaction(10)
        before = time.time()
        producer.begin_transaction()
        producer.produce(topic, b"open", partition=1)
        producer.flush(10)
        # then the open one is reported with its time
        (told,) = wait_for("an open transaction", lambda: access.open_since([topic])).items()
        assert told[0] == TP(topic, 1)
        assert before - 1 <= told[1] <= time.time() + 1
        # and no more once it has ended
        producer.abort_transaction(10)
        wait_for("no open transaction", lambda: not access.open_since([topic]))
        # and nothing is denied of what is there, and of topics that are not
        assert access.denied([topic], ["READ", "WRITE", "DESCRIBE"]) == {}
        assert access.open_since(["not-there"]) == {}
        assert list(missing(access, TopicNames(topic, "app", topic), "not-there")) == []
        assert not admin.list_topics(timeout=10).topics.keys() & {f"{topic}.outages", f"{topic}.replays"}
    finally:
        broker.close()
        admin.delete_topics([topic])[topic].result()


@pytest.mark.stack
def test_the_worker_of_connect_is_a_member_with_its_address(stack_env: dict[str, str]) -> None:
    settings = KafkaSettings(bootstrap_servers=stack_env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"])
    with Broker(settings, TopicNames("x", "app", "x.dead-letters")) as broker:
        (worker,) = connect_workers(broker)
    assert f"http://{worker.address}" == stack_env["SCORESTREAM_CONNECT_URL"]
    assert worker.waits_s == 0
