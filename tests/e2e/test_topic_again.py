"""A topic that is deleted and created again, on the real stack: nothing of the new one is skipped."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from devstack.stack import Stack
from testbed.replays import done
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack


@pytest.fixture
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    with Universe(stack.env(), tmp_path_factory.mktemp("again")) as made:
        made.set_up()
        yield made


def create_again(universe: Universe, topic: str) -> None:
    """Delete the topic and create it, while the connector is stopped."""
    done(universe, "connectors", "stop")
    admin = AdminClient({"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    for answer in admin.delete_topics([topic]).values():
        answer.result()
    wait_for("the topic is gone", lambda: topic not in admin.list_topics(timeout=10).topics)
    done(universe, "topics", "apply")
    done(universe, "connectors", "resume")


def committed_within(universe: Universe, topic: str) -> bool:
    """Whether every committed offset lies within the log."""
    brokers, group = (universe.env[f"SCORESTREAM_KAFKA_{name}"] for name in ("BOOTSTRAP_SERVERS", "GROUP"))
    with closing(Consumer({"bootstrap.servers": brokers, "group.id": group})) as reader:
        tps = [TopicPartition(topic, number) for number in range(4)]
        ends = {tp.partition: reader.get_watermark_offsets(tp, timeout=10)[1] for tp in tps}
        return all(tp.offset <= ends[tp.partition] for tp in reader.committed(tps, timeout=10))


def test_a_worker_that_slept_meanwhile_reads_the_new_topic_from_its_start(universe: Universe) -> None:
    topic = f"{universe.env['SCORESTREAM_KAFKA_TOPIC_PREFIX']}.app.scores"
    with universe.postgres() as connection:
        workload = Workload(connection, seed=53)
        workload.add(20)
        with universe.worker(SCORESTREAM_KAFKA_SESSION_TIMEOUT_S="60") as worker:
            universe.wait_until_equal()
            # given a worker that sleeps within its session while the topic is created again
            worker.signal(signal.SIGSTOP)
            create_again(universe, topic)
            workload.add(30)
            # when it wakes up, then all of the new topic is indexed, and committed
            worker.signal(signal.SIGCONT)
            universe.wait_until_equal(deadline_s=90)
            wait_for("no committed offset lies behind the end", lambda: committed_within(universe, topic))
        told = json.loads(done(universe, "lag", "--json", "--no-monitor"))
        assert "AHEAD" not in {each["verdict"] for each in told["partitions"]}
