"""The connector's heartbeat never holds up or ends the connector; its slot is one that follows a failover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from testbed.universe import Universe, wait_for

pytestmark = pytest.mark.stack
_CHAT = "INSERT INTO app.chats (conversation_id, customer_id) VALUES (gen_random_uuid(), 'acme')"


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path, partitions=1) as made:
        made.set_up()
        yield made


@pytest.fixture
def connection(universe: Universe) -> Iterator[psycopg.Connection[Any]]:
    with universe.postgres() as opened:
        yield opened


def wait_for_chats(universe: Universe, *, at_least: int) -> None:
    """Poll until the topic of chats has this many messages; the end also counts transaction markers."""
    options = {"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"], "group.id": "none"}
    consumer = Consumer(options)
    try:
        consumer.assign([TopicPartition(f"{universe.name}.app.chats", 0, 0)])
        seen: list[object] = []
        wait_for("chats in Kafka", lambda: _take(consumer, seen) >= at_least)
    finally:
        consumer.close()


def _take(consumer: Consumer, seen: list[object]) -> int:
    seen += [record for record in consumer.consume(100, timeout=0.2) if record.error() is None]
    return len(seen)


def beat(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT coalesce(max(beat), 0) FROM app.scorestream_heartbeat").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "lock",
    [
        "UPDATE app.scorestream_heartbeat SET at = at WHERE id = 1",
        "LOCK TABLE app.scorestream_horizon IN ACCESS EXCLUSIVE MODE",
    ],
    ids=["row", "table"],
)
def test_changes_arrive_while_a_lock_stops_the_heartbeat(
    universe: Universe, connection: psycopg.Connection[Any], lock: str
) -> None:
    wait_for("a beat", lambda: beat(connection))
    with universe.postgres() as holder, holder.transaction():
        # given a transaction that locks what the heartbeat writes, and a heartbeat that has met the lock
        holder.execute(lock)
        met = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_for("the heartbeat waits", lambda: connection.execute(met).fetchone() == (1,), every_s=0.02)
        # when a chat is written, then it arrives, long before the lock is released
        connection.execute(_CHAT)
        wait_for_chats(universe, at_least=1)
        stood = beat(connection)
    # and the heart beats again afterwards
    wait_for("beats after the lock", lambda: beat(connection) > stood)


@pytest.mark.long
def test_changes_arrive_when_the_heartbeats_tables_are_gone(
    universe: Universe, connection: psycopg.Connection[Any]
) -> None:
    wait_for("a beat", lambda: beat(connection))
    # when both tables are dropped, and the connector has met that more than once
    connection.execute("DROP TABLE app.scorestream_heartbeat, app.scorestream_horizon")
    for number in (1, 2, 3):
        connection.execute(_CHAT)
        wait_for_chats(universe, at_least=number)
        connection.execute("SELECT pg_sleep(1.1)")
    # then the connector still runs
    assert universe.call("connectors", "status")[0] == 0


def test_the_slot_follows_a_failover_and_the_connector_takes_its_offsets_for_the_truth(
    universe: Universe, connection: psycopg.Connection[Any]
) -> None:
    # given a slot that the connector made
    query = "SELECT coalesce(to_jsonb(s) ->> 'failover', 'before 17') FROM pg_replication_slots s WHERE slot_name = %s"
    row = connection.execute(query, (universe.name,)).fetchone()
    version = connection.info.server_version
    assert row == ("true" if version >= 170000 else "before 17",)
    # when the connector starts again, then it goes on where it was
    connection.execute(_CHAT)
    wait_for_chats(universe, at_least=1)
    assert universe.call("connectors", "stop")[0] == 0
    connection.execute(_CHAT)
    assert universe.call("connectors", "resume")[0] == 0
    wait_for_chats(universe, at_least=2)
