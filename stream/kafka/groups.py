"""A consumer group as the brokers describe it: its state, its members, and their partitions.

AdminClient.describe_consumer_groups would be the usual way. But it aborts the whole process when a broker goes away
during the request. That is an assertion in librdkafka (its issue 4605), seen with 2.16 at every restart of a broker.
The older list_groups has no such assertion. Its members come as the bytes of Kafka's consumer protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient

from stream.kafka.topic_partition import TP

DEAD = "DEAD"
_STATES = {
    "Stable": "STABLE",
    "Empty": "EMPTY",
    "Dead": DEAD,
    "PreparingRebalance": "PREPARING_REBALANCING",
    "CompletingRebalance": "COMPLETING_REBALANCING",
}


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of the group."""

    id: str
    client_id: str
    host: str
    partitions: tuple[TP, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group; `state` is Kafka's word (STABLE, EMPTY, DEAD, PREPARING_REBALANCING, ...)."""

    state: str
    members: tuple[GroupMember, ...] = ()

    def holders(self) -> dict[TP, GroupMember]:
        return {tp: member for member in self.members for tp in member.partitions}


def describe(admin: AdminClient, name: str, *, timeout_s: float) -> Group:
    """The present state of the group. A group that does not exist is DEAD.

    Raises:
        KafkaException: no broker answers.
    """
    found: list[Any] = [group for group in admin.list_groups(name, timeout=timeout_s) if group.id == name]
    if not found:
        return Group(DEAD)
    group = found[0]
    members = (
        GroupMember(
            member.id, member.client_id, member.client_host.lstrip("/"), tuple(assigned(member.assignment or b""))
        )
        for member in group.members
    )
    return Group(_STATES.get(group.state, group.state.upper()), tuple(members))


def assigned(protocol: bytes) -> Iterator[TP]:
    """The partitions of a member's assignment (ConsumerProtocolAssignment: version, topics with partitions, user data).

    Empty for a member without an assignment, and for a member of another protocol.
    """
    try:
        _, topics = struct.unpack_from(">hi", protocol)
        at = 6
        for _ in range(topics):
            (size,) = struct.unpack_from(">h", protocol, at)
            name = protocol[at + 2 : at + 2 + size].decode()
            at += 2 + size
            (count,) = struct.unpack_from(">i", protocol, at)
            for partition in struct.unpack_from(f">{count}i", protocol, at + 4):
                yield TP(name, partition)
            at += 4 + 4 * count
    except (struct.error, UnicodeDecodeError):
        return
