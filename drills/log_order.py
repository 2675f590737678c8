"""Do versions rise along the log?

Within a partition Debezium's order of one row's messages is the order of commits. So of two messages with one key the
later one must have the higher version. It also counts how often a change stands there twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from testbed.universe import Universe


@dataclass
class Order:
    """The order of the log's messages.

    Attributes:
        falls: messages whose version is lower than that of the one before with the same key.
        ties: messages whose version is the same: a change that was sent twice.
        unsequenced: messages outside of snapshots that lack the first element of `source.sequence`.
        backward: messages whose first element is lower than that of the message before in the partition.
    """

    messages: int = 0
    falls: int = 0
    ties: int = 0
    unsequenced: int = 0
    backward: int = 0
    examples: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "falls": self.falls,
            "ties": self.ties,
            "unsequenced": self.unsequenced,
            "backward": self.backward,
            "examples": self.examples,
        }


def order_of_log(universe: Universe, *, most_examples: int = 5) -> Order:
    """Read the topics of changes whole, committed transactions only."""
    reader = Consumer(
        {
            "bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"{universe.name}-order",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 2,
        }
    )
    order = Order()
    try:
        topics = [f"{universe.name}.app.{table}" for table in ("chats", "scorecards", "scores")]
        known = reader.list_topics(timeout=10).topics
        tps = [TopicPartition(t, n, OFFSET_BEGINNING) for t in topics if t in known for n in known[t].partitions]
        reader.assign(tps)
        open_ends = {(tp.topic, tp.partition) for tp in tps}
        last: dict[Any, tuple[tuple[int, int], str]] = {}
        commits: dict[Any, int] = {}
        while open_ends:
            for message in reader.consume(1_000, timeout=5):
                where = (message.topic(), message.partition())
                if message.error() is not None:
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        open_ends.discard(where)
                    continue
                if message.value() is not None:
                    _look(order, last, commits, message, where, most_examples)
    finally:
        reader.close()
    return order


def _look(order: Order, last: Any, commits: Any, message: Any, where: Any, most: int) -> None:
    source = json.loads(message.value())["source"]
    order.messages += 1
    sequence = json.loads(source["sequence"]) if source.get("sequence") else [None, None]
    if source.get("snapshot") not in (None, "false"):
        return
    if sequence[0] is None:
        order.unsequenced += 1
    version = (int(sequence[0] or 0), int(sequence[1] or source.get("lsn") or 0))
    text = f"{where[0].rpartition('.')[2]}[{where[1]}]@{message.offset()} {version}"
    if version[0] < commits.get(where, 0):
        order.backward += 1
    commits[where] = version[0]
    key = (*where, message.key())
    if key in last:
        before, earlier = last[key]
        if version == before:
            order.ties += 1
        elif version < before:
            order.falls += 1
            if len(order.examples) < most:
                order.examples.append(f"{earlier} then {text}")
    last[key] = (version, text)
