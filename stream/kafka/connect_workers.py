"""The workers of Kafka Connect, as the brokers know them: members of a group, like consumers.

Connect's own REST interface names the worker of a task even when that worker is dead. It says nothing about the time
for which the group waits for it. Enters: the broker. Leaves: plain values. Reads only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from urllib.parse import urlsplit

from stream.kafka.broker import Broker

_PROTOCOL = "connect"


@dataclass(frozen=True, slots=True)
class ConnectWorker:
    """A worker that lives.

    Attributes:
        group: group.id of its Connect cluster.
        address: host:port of its REST interface, as the status of a connector names it.
        waits_s: for how much longer the group waits for a worker that has left, before its tasks move.
    """

    group: str
    address: str
    waits_s: float


def connect_workers(broker: Broker, *, timeout_s: float = 5) -> list[ConnectWorker]:
    """The living workers of all Connect clusters on these brokers.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    with broker.asking("groups of Kafka Connect"):
        groups = broker.admin.list_groups(timeout=timeout_s)
    return [
        ConnectWorker(group.id, address(member.metadata or b""), waits_ms(member.assignment or b"") / 1000)
        for group in groups
        if group.protocol_type == _PROTOCOL
        for member in group.members
    ]


def address(metadata: bytes) -> str:
    """The address in a member's metadata (version, URL, offset of the configs, ..); empty when there is none."""
    try:
        (size,) = struct.unpack_from(">h", metadata, 2)
        return urlsplit(metadata[4 : 4 + size].decode()).netloc
    except (struct.error, UnicodeDecodeError, ValueError):
        return ""


def waits_ms(assignment: bytes) -> int:
    """The delay that ends an assignment of version 1 or later; 0 for an earlier one, or none yet."""
    if len(assignment) < 6 or struct.unpack_from(">h", assignment)[0] < 1:
        return 0
    return max(0, int(struct.unpack(">i", assignment[-4:])[0]))
