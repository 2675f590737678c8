"""A topic that is deleted and created again, on the real stack: nothing of the new one is skipped."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

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
    made = Universe(stack.env(), tmp_path_factory.mktemp("again"))
    try:
        made.set_up()
        yield made
    finally:
        made.close()


def create_again(universe: Universe, topic: str) -> None:
    """Delete the topic and create it, while the connector is stopped."""
    done(universe, "connectors", "stop")
    admin = AdminClient({"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    for answer in admin.delete_topics([topic]).values():
        answer.result()
    wait_for("the topic is gone", lambda: topic not in admin.list_topics(timeout=10).topics)
    done(universe, "topics", "apply")
    done(universe, "connectors", "resume")


@pytest.mark.parametrize("asleep", [False, True], ids=["a worker that runs", "a worker that sleeps"])
def test_a_topic_that_was_created_again_is_read_from_its_start(universe: Universe, asleep: bool) -> None:
    topic = f"{universe.env['SCORESTREAM_KAFKA_TOPIC_PREFIX']}.app.scores"
    with universe.postgres() as connection:
        workload = Workload(connection, seed=53)
        workload.add(20)
        with universe.worker(SCORESTREAM_KAFKA_SESSION_TIMEOUT_S="60", SCORESTREAM_WATCHDOG_STALL_S="12") as worker:
            universe.wait_until_equal()
            # given a topic that is created again while the worker runs, or sleeps within its session
            if asleep:
                worker.signal(signal.SIGSTOP)
            create_again(universe, topic)
            workload.add(30)
            if asleep:
                worker.signal(signal.SIGCONT)
            # then all of the new topic is indexed, and committed
            universe.wait_until_equal(deadline_s=90)
            reader = Consumer(
                {
                    "bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"],
                    "group.id": universe.env["SCORESTREAM_KAFKA_GROUP"],
                }
            )
            tps = [TopicPartition(topic, number) for number in range(4)]
            ends = {tp.partition: reader.get_watermark_offsets(tp, timeout=10)[1] for tp in tps}

            def committed() -> bool:
                now = {tp.partition: tp.offset for tp in reader.committed(tps, timeout=10)}
                return all(now[number] <= end for number, end in ends.items())

            wait_for("no committed offset lies behind the end", committed, deadline_s=20)
            reader.close()
        told = json.loads(done(universe, "lag", "--json", "--no-monitor"))
        assert "AHEAD" not in {each["verdict"] for each in told["partitions"]}
