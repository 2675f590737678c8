"""The permissions in Kafka that each kind of process needs, and no more.

Enters: names of topics, groups and users. Leaves: ACLs as values, and as the arguments of Kafka's own tool. `grant`
alone changes the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from stream.kafka.announcement import group_of
from stream.kafka.broker import Broker
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames

# monitor: what only reads; worker: the live workers; operator: every command, workers included; connect: Kafka Connect
Role = Literal["monitor", "worker", "operator", "connect"]
ROLES: tuple[Role, ...] = get_args(Role)
Kind = Literal["topic", "group", "transactional-id"]

_READ = ("Describe", "DescribeConfigs", "Read")
_WRITE = ("Create", *_READ, "Write")
_JOIN = ("Describe", "Read")
_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
_OPERATIONS = {
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
}


class Acl(NamedTuple):
    """Operations that one user may do on a topic, group or transactional id, or on all whose names begin so."""

    kind: Kind
    name: str
    prefixed: bool
    operations: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """Of `kafka-acls.sh --add --allow-principal User:..`."""
        pattern = ["--resource-pattern-type", "prefixed"] if self.prefixed else []
        operations = [word for each in self.operations for word in ("--operation", each)]
        return [f"--{self.kind}", self.name, *pattern, *operations]


def needed(role: Role, kafka: KafkaSettings, names: TopicNames, *, connect_group: str, connector: str) -> list[Acl]:
    """The ACLs of one role.

    Args:
        connect_group: `group.id` of Kafka Connect's workers; their own topics have it as prefix.
        connector: name of the connector.
    """
    if role == "connect":
        return _of_connect(names, connect_group, connector)
    acls = [
        Acl("topic", f"{names.prefix}.", True, _READ),
        Acl("topic", names.debezium_heartbeat, False, _READ),
        *_of_letters(names, _READ),
        Acl("group", kafka.group, False, ("Describe",)),
        Acl("group", f"{names.prefix}-", True, ("Describe",)),
        Acl("group", "scorestream-", True, ("Describe",)),
    ]
    if role == "monitor":
        return acls
    acls += [
        Acl("group", kafka.group, False, _JOIN),
        Acl("group", group_of(names), False, _JOIN),
        *_of_letters(names, _WRITE),
        Acl("topic", names.outages, False, _WRITE),
    ]
    if role == "worker":
        return _joined(acls)
    acls += [
        Acl("topic", f"{names.prefix}.", True, ("Create",)),
        Acl("topic", names.debezium_heartbeat, False, ("Create",)),
        *(Acl("topic", name, False, _WRITE) for name in (names.replays, names.backfills, names.audit)),
        Acl("group", f"{names.prefix}-replay-", True, ("Delete", *_JOIN)),
        Acl("group", connect_group, False, ("Describe",)),
    ]
    return _joined(acls)


def _of_letters(names: TopicNames, operations: tuple[str, ...]) -> list[Acl]:
    return [Acl("topic", name, False, operations) for name in (names.dead_letters, names.settled_letters)]


def _of_connect(names: TopicNames, group: str, connector: str) -> list[Acl]:
    return [
        Acl("topic", f"{names.prefix}.", True, _WRITE),
        Acl("topic", names.debezium_heartbeat, False, _WRITE),
        Acl("topic", f"{group}-", True, _WRITE),
        Acl("group", group, False, _JOIN),
        Acl("transactional-id", f"connect-cluster-{group}", False, ("Describe", "Write")),
        Acl("transactional-id", f"{group}-{connector}-", True, ("Describe", "Write")),
    ]


def _joined(acls: Iterable[Acl]) -> list[Acl]:
    """One ACL for each resource."""
    found: dict[tuple[Kind, str, bool], set[str]] = {}
    for acl in acls:
        found.setdefault((acl.kind, acl.name, acl.prefixed), set()).update(acl.operations)
    return [Acl(*resource, tuple(sorted(operations))) for resource, operations in found.items()]


def grant(broker: Broker, user: str, acls: Sequence[Acl]) -> None:
    """Create the ACLs of a user. What is there stays.

    Raises:
        KafkaUnavailable: no broker answers, or this client's user may not alter the cluster.
    """
    bindings = [
        AclBinding(
            _KINDS[acl.kind],
            acl.name,
            ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            _OPERATIONS[operation],
            AclPermissionType.ALLOW,
        )
        for acl in acls
        for operation in acl.operations
    ]
    with broker.asking("grant permissions"):
        for answer in broker.admin.create_acls(bindings).values():
            answer.result(20)
