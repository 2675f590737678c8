"""What the brokers have to let this user do, and what they do not: with the command that allows it.

Enters: the names of topics and the group. Leaves: what is missing. `scorestream doctor` shows it, and a worker refuses
to start where it could not go on. Reads only.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from stream.errors import ConfigError, KafkaUnavailable
from stream.kafka.acls import Acl
from stream.kafka.announcement import group_of
from stream.tables import HEARTBEAT, SIGNAL
from stream.topic_names import TopicNames

log = logging.getLogger(__name__)

_READ = ("READ", "DESCRIBE")
_WRITE = ("READ", "WRITE", "DESCRIBE")


class PermissionSource(Protocol):
    """What is asked of the cluster (stream/kafka/access.py). Every method raises KafkaUnavailable."""

    def denied(self, topics: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        """Topics that are there -> those of these operations that this user may not do on them."""

    def denied_to_create(self, topics: Collection[str]) -> list[str]:
        """Those of these topics that are missing, and that this user may not create."""

    def denied_groups(self, groups: Collection[str], operations: Collection[str]) -> dict[str, list[str]]:
        """Consumer groups -> those of these operations that this user may not do on them."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Operations that this user may not do on a topic or a group.

    Attributes:
        vital: a worker stops there at its first request, or at its first refused message.
    """

    kind: Literal["topic", "group"]
    name: str
    operations: tuple[str, ...]
    vital: bool
    prefixed: bool = False  # all whose names begin so

    def __str__(self) -> str:
        return f"this user may not {', '.join(self.operations)} {self.kind} {self.name}"

    def acl(self, servers: str) -> str:
        """The command that allows it."""
        words = ("".join(part.capitalize() for part in each.split("_")) for each in self.operations)
        needed = Acl(self.kind, self.name, self.prefixed, tuple(words))
        return (
            f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:.. {shlex.join(needed.arguments)}"
        )


def missing(brokers: PermissionSource, names: TopicNames, group: str) -> Iterator[Missing]:
    """Everything that this user lacks. Topics that are not there, and may be created, lack nothing."""
    state = (names.settled_letters, names.outages, names.replays, names.backfills, names.audit)
    read = (*names.sources, names.of(HEARTBEAT), names.of(SIGNAL), names.notifications)
    vital = {*names.sources, names.dead_letters}
    for topics, operations in ((read, _READ), ((names.dead_letters, *state), _WRITE)):
        for name, denied in brokers.denied(topics, operations).items():
            yield Missing("topic", name, tuple(denied), name in vital)
    for name in brokers.denied_to_create(state):
        yield Missing("topic", name, ("CREATE",), vital=False)
    for name, denied in brokers.denied_groups([group, group_of(names)], _READ).items():
        yield Missing("group", name, tuple(denied), vital=name == group)
    for name, denied in brokers.denied_groups([f"{names.prefix}-replay-"], ["DESCRIBE"]).items():
        yield Missing("group", name, tuple(denied), vital=False, prefixed=True)


def check(brokers: PermissionSource, names: TopicNames, group: str, servers: str) -> None:
    """Before a worker joins its group: refuse to start where it could not go on, and log what fails later.

    Raises:
        ConfigError: with the commands that allow it.
    """
    try:
        found = list(missing(brokers, names, group))
    except KafkaUnavailable as error:
        log.warning("could not ask the brokers for permissions", extra={"cause": str(error)})
        return
    for each in found:
        if not each.vital:
            log.warning("permission is missing", extra={"cause": str(each), "way_out": each.acl(servers)})
    if vital := [each for each in found if each.vital]:
        raise ConfigError("\n".join(f"Kafka: {each}: {each.acl(servers)}" for each in vital))
