"""What a group's members hold, from the bytes of Kafka's consumer protocol."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.groups import DEAD, Group, GroupMember, assigned, describe
from stream.kafka.topic_partition import TP


def protocol(topics: dict[str, list[int]], user_data: bytes = b"") -> bytes:
    out = struct.pack(">hi", 1, len(topics))
    for name, partitions in topics.items():
        out += struct.pack(">h", len(name.encode())) + name.encode()
        out += struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return out + struct.pack(">i", len(user_data)) + user_data


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.lists(st.integers(0, 2**31 - 1), max_size=5)), st.binary())
def test_every_partition_of_an_assignment_is_read(topics: dict[str, list[int]], user_data: bytes) -> None:
    expected = [TP(name, partition) for name, partitions in topics.items() for partition in partitions]
    assert list(assigned(protocol(topics, user_data))) == expected


@given(st.binary(max_size=60))
def test_other_bytes_are_no_error(data: bytes) -> None:
    list(assigned(data))


@dataclass
class _Told:
    """The attributes of confluent_kafka's GroupMetadata and GroupMember."""

    id: str
    state: str = ""
    members: list[Any] = field(default_factory=list)
    client_id: str = ""
    client_host: str = ""
    assignment: bytes | None = None


class _Admin:
    def __init__(self, *groups: _Told) -> None:
        self._groups = groups

    def list_groups(self, group: str, timeout: float) -> list[_Told]:
        return list(self._groups)


def test_a_group_is_told_with_its_members_and_a_group_that_is_not_there_is_dead() -> None:
    # given a group with one member that holds partitions, and one that waits for a rebalance
    held = protocol({"t": [0, 2]})
    members = [
        _Told("m1", client_id="c1", client_host="/10.0.0.1", assignment=held),
        _Told("m2", client_id="c2", client_host="/10.0.0.2"),
    ]
    admin: Any = _Admin(_Told("live", "PreparingRebalance", members))
    # then both are named
    assert describe(admin, "live", timeout_s=1) == Group(
        "PREPARING_REBALANCING",
        (GroupMember("m1", "c1", "10.0.0.1", (TP("t", 0), TP("t", 2))), GroupMember("m2", "c2", "10.0.0.2", ())),
    )
    assert describe(admin, "another", timeout_s=1) == Group(DEAD)
