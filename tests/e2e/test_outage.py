"""An outage longer than the compaction lag, on the real stack: what compaction removed is found and repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from devstack.stack import Stack
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


@pytest.fixture
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    made = Universe(stack.env(), tmp_path_factory.mktemp("outage"), partitions=1)
    made.env["SCORESTREAM_KAFKA_MIN_COMPACTION_LAG_S"] = "1"
    try:
        made.set_up()
        yield made
    finally:
        made.close()


def compact_at_once(universe: Universe, topic: str) -> None:
    """Let each segment close after a second, and the cleaner take what is closed."""
    admin = AdminClient({"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    wanted = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.001"}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    (done,) = admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)]
    ).values()
    done.result()


@pytest.mark.long
def test_what_compaction_removed_meanwhile_is_repaired(universe: Universe) -> None:
    topic = f"{universe.name}.app.scorecards"
    with universe.postgres() as connection:
        workload = Workload(connection, seed=61)
        workload.add(10)
        with universe.worker():
            universe.wait_until_equal()
        # given a scorecard that is an appeal since, and then only commented on, while no worker runs
        row = connection.execute(
            "UPDATE app.scorecards SET scorecard_type = 2 WHERE scorecard_id = (SELECT scorecard_id FROM "
            "app.scorecards WHERE scorecard_type IS NULL AND scorecard_time IS NOT NULL LIMIT 1) RETURNING scorecard_id"
        ).fetchone()
        assert row is not None
        card = row[0]
        connection.execute("UPDATE app.scorecards SET comment = 'only this' WHERE scorecard_id = %s", [card])
        # and compaction that has left the comment alone
        compact_at_once(universe, topic)

        def gone() -> bool:
            connection.execute("UPDATE app.scorecards SET comment = now()::text WHERE scorecard_id <> %s", [card])
            return _changes_of(universe, topic, str(card)) == 1

        wait_for("compaction has removed the appeal", gone, deadline_s=120, every_s=1.5)
        # when a worker starts
        with universe.worker() as worker:
            # then it says so, and the appeal goes
            universe.wait_until_equal(deadline_s=120)
            wait_for("it says so", lambda: "outage longer than the compaction lag" in worker.log.read_text("utf-8"))
            wait_for(
                "it is done", lambda: "the tables are right again after the outage" in worker.log.read_text("utf-8")
            )


def _changes_of(universe: Universe, topic: str, card: str) -> int:
    """How many changes of this scorecard the log has."""
    brokers = universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]
    with closing(Consumer({"bootstrap.servers": brokers, "group.id": "reads", "enable.partition.eof": True})) as reader:
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        count = 0
        while (message := reader.poll(10)) is not None and message.error() is None:
            count += card.encode() in (message.key() or b"")
    return count
