"""Faults of topics while changes flow: partitions added, a topic deleted; as drills/faults.py."""

from __future__ import annotations

import time

from confluent_kafka.admin import AdminClient, NewPartitions

from drills.faults import Fault, Scene
from testbed.universe import wait_for

RECOVER_S = 300.0
_TRIES = 3  # a writer goes on: rows that change at every look are compared at the next call
_MORE = ("chats", "scores")  # chats go by their key into the new partitions; scores are routed, and keep theirs


def more_partitions(scene: Scene) -> str:
    """Twice as many partitions. The connector starts again, because its producer would learn of them within minutes."""
    admin = _admin(scene)
    wanted = []
    for table in _MORE:
        topic = _topic(scene, table)
        count = len(admin.list_topics(topic, timeout=10).topics[topic].partitions)
        wanted.append(NewPartitions(topic, 2 * count))
    for answer in admin.create_partitions(wanted).values():
        answer.result()
    scene.universe.run("connectors", "restart", "--all", timeout_s=120)
    return ", ".join(f"{each.topic.rpartition('.')[2]} {each.new_total_count}" for each in wanted)


def topic_deleted(scene: Scene) -> str:
    """The topic of the scores is gone, with all that waits in it; `scorestream recover` leads back."""
    admin, topic = _admin(scene), _topic(scene, "scores")
    began = time.monotonic()
    for answer in admin.delete_topics([topic]).values():
        answer.result()
    codes = []
    for _ in range(_TRIES):
        codes.append(scene.universe.run("recover", "--yes", check=False, timeout_s=RECOVER_S).returncode)
        if codes[-1] == 0:
            break
    wait_for("the topic is there", lambda: topic in admin.list_topics(timeout=10).topics, deadline_s=30)
    return f"recover after {time.monotonic() - began:.0f} s, exit {', '.join(map(str, codes))}"


def _admin(scene: Scene) -> AdminClient:
    return AdminClient({"bootstrap.servers": scene.universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})


def _topic(scene: Scene, table: str) -> str:
    return f"{scene.universe.env['SCORESTREAM_KAFKA_TOPIC_PREFIX']}.app.{table}"


TOPICS: dict[str, Fault] = {"more partitions": more_partitions, "topic deleted": topic_deleted}
