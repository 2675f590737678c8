"""Topics: which ones must exist, with which options. It creates the missing ones, and changes no other.

Enters: the broker, whose settings say what there must be. Leaves: what was found and what was created. It never
deletes a topic or alters one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.client import MESSAGE_MAX_BYTES
from stream.settings_sections import KafkaSettings
from stream.tables import HEARTBEAT, SIGNAL
from stream.topic_names import TopicNames

_DAY_MS = 86_400_000
# An update carries a comment of some megabytes twice, before and after. The dead letter adds headers to the message.
_MAX_DEAD_LETTER = MESSAGE_MAX_BYTES + (1 << 20)
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be. `options` are Kafka's topic configs; the broker's defaults hold for all others."""

    name: str
    partitions: int
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A wanted topic, and its state on the brokers."""

    topic: Topic
    state: Literal["missing", "created", "present", "differs"]
    partitions: int | None = None  # options of the existing topic
    differences: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())  # a setting that works, and loses messages when a broker is lost
    options: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # that differ: as it is, as it must be
    leaderless: tuple[int, ...] = field(default=())  # partitions that no broker serves
    out_of_sync: tuple[int, ...] = field(default=())  # partitions of which a replica is missing or late


def wanted(settings: KafkaSettings, names: TopicNames) -> tuple[Topic, ...]:
    """All topics of this configuration: those of the rows, and those that Debezium and the pipeline write."""
    compacted = {"cleanup.policy": "compact"}
    rows = compacted | {
        # A consumer that is behind by less than this (a stopped worker, a rewind) still sees every single change.
        "min.compaction.lag.ms": str(settings.min_compaction_lag_s * 1000),
        "max.message.bytes": str(MESSAGE_MAX_BYTES),
    }
    kept = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(_MAX_DEAD_LETTER)}
    passing = {"cleanup.policy": "delete", "retention.ms": str(30 * _DAY_MS)}
    return (
        *(Topic(name, settings.partitions, rows) for name in names.sources),
        Topic(names.dead_letters, 1, kept),  # kept until an operator has looked at them
        Topic(names.notifications, 1, passing),
        Topic(names.of(HEARTBEAT), 1, compacted),
        Topic(names.of(SIGNAL), 1, passing),
        Topic(names.debezium_heartbeat, 1, compacted),
    )


def inspect(broker: Broker, *, timeout_s: float = 20) -> list[Found]:
    """The state of the topics, in the order of `wanted`.

    Raises:
        KafkaUnavailable: no broker answered within the time.
    """
    return _inspect(broker, timeout_s)


def ensure_topics(broker: Broker, *, timeout_s: float = 20) -> list[Found]:
    """Create the missing topics. Existing topics stay as they are; their differences are returned.

    Raises:
        KafkaUnavailable: no broker answered within the time.
        UsageError: the brokers refused to create one (its replication factor is above their number, or no permission).
    """
    before = _inspect(broker, timeout_s)
    missing = [found.topic for found in before if found.state == "missing"]
    if not missing:
        return before
    _create(broker, missing, timeout_s)
    made = {topic.name for topic in missing}
    return [
        Found(found.topic, "created", found.topic.partitions) if found.topic.name in made else found for found in before
    ]


def durability(brokers: int, replicas: int, min_in_sync: int) -> list[str]:
    """What a topic's replication risks where there are brokers enough to do better; one line each."""
    if brokers < 3:
        return []
    if replicas < 3:
        return [f"replication factor {replicas} with {brokers} brokers: 3 survive the loss of one without a gap"]
    if min_in_sync < 2:
        return [f"min.insync.replicas {min_in_sync}: with 2 no acknowledged message is lost with one broker"]
    if min_in_sync >= replicas:
        return [f"min.insync.replicas {min_in_sync} of {replicas} replicas: no broker may be away"]
    return []


def wrong_partitions(found: Iterable[Found]) -> list[str]:
    """One line for each topic with another number of partitions than the settings say.

    Nothing works with such topics.
    """
    return [
        f"topic {each.topic.name} has {each.partitions} partitions, not {each.topic.partitions}"
        for each in found
        if each.partitions is not None and each.partitions != each.topic.partitions
    ]


def _inspect(broker: Broker, timeout_s: float) -> list[Found]:
    client = broker.admin
    topics = wanted(broker.settings, broker.topics)
    with broker.asking("topics"):
        cluster = client.list_topics(timeout=timeout_s)
        there = {name: len(each.partitions) for name, each in cluster.topics.items()}
        present = [topic for topic in topics if topic.name in there]
        resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in present]
        answers = client.describe_configs(resources, request_timeout=timeout_s) if resources else {}
        options: dict[str, dict[str, Any]] = {resource.name: future.result() for resource, future in answers.items()}
    result = []
    for topic in topics:
        if topic.name not in there:
            result.append(Found(topic, "missing"))
            continue
        differences: list[str] = []
        differing: dict[str, tuple[str, str]] = {}
        if there[topic.name] != topic.partitions:
            differences.append(f"partitions {there[topic.name]}, not {topic.partitions}")
        for key, value in topic.options.items():
            entry = options[topic.name].get(key)
            if entry is not None and entry.value != value:
                differences.append(f"{key} {entry.value}, not {value}")
                differing[key] = entry.value, value
        replicas = min((len(each.replicas) for each in cluster.topics[topic.name].partitions.values()), default=0)
        in_sync = options[topic.name].get("min.insync.replicas")
        warned = durability(len(cluster.brokers), replicas, 1 if in_sync is None else int(in_sync.value))
        state: Literal["differs", "present"] = "differs" if differences else "present"
        numbered = sorted(cluster.topics[topic.name].partitions.items())
        leaderless = tuple(number for number, each in numbered if each.leader < 0)
        behind = tuple(number for number, each in numbered if len(each.isrs) < len(each.replicas))
        result.append(
            Found(topic, state, there[topic.name], tuple(differences), tuple(warned), differing, leaderless, behind)
        )
    return result


def _create(broker: Broker, topics: list[Topic], timeout_s: float) -> None:
    futures = broker.admin.create_topics(
        [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=broker.settings.replication_factor,
                config=dict(topic.options),
            )
            for topic in topics
        ],
        operation_timeout=timeout_s,
        request_timeout=timeout_s,
    )
    refused, denied = [], False
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            # Another process, such as Connect, created it meanwhile.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refused.append(f"{name}: {error.args[0].str()}")
                denied = denied or error.args[0].code() in _DENIED
    if refused:
        lines = [*refused, *(["`scorestream topics acls` shows the permissions that are needed"] if denied else [])]
        raise UsageError("topics could not be made:\n" + "\n".join(f"  - {line}" for line in lines))
