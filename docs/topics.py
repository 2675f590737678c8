"""docs/reference/topics.md: every topic of an installation, and which operations on it each user needs.

Enters: stream/topic_names.py, and the options of stream/kafka/topics.py. Leaves: Markdown.
"""

from __future__ import annotations

from stream.kafka import audit
from stream.kafka.topics import wanted
from stream.settings_sections import KafkaSettings
from stream.tables import HEARTBEAT, SIGNAL
from stream.topic_names import TopicNames

NAMES = TopicNames("<prefix>", "<schema>", "<prefix>.dead-letters")

_READ, _WRITE = "Read, DescribeConfigs", "Read, Write, Create, DescribeConfigs"
_HEAD = """# Topics

`<prefix>` is `SCORESTREAM_KAFKA_TOPIC_PREFIX`, `<schema>` is `SCORESTREAM_POSTGRES_SOURCE_SCHEMA`. The topic of the
dead letters has the name that `SCORESTREAM_KAFKA_DEAD_LETTER_TOPIC` gives, and the settled ones follow it. One ACL with
the prefix `<prefix>.` covers all but Debezium's own heartbeat.

`scorestream topics apply` creates the topics of rows, Debezium's and the dead letters, and needs Create on those, too.
A state topic is created by the first command or worker that writes to it: one partition, compacted. The topic of the
audit trail is created in the same way, and never compacted. To read the trail, Read on it suffices.

Read and Write include Describe. *scorestream* is the user of workers and commands, *Connect* that of Kafka Connect.
"""
_GROUPS = """
Groups of scorestream's user: Read on `SCORESTREAM_KAFKA_GROUP`; Read and Delete on `<prefix>-replay-`, as a prefix;
Describe on `<prefix>-` and `scorestream-`, as prefixes. Connect's user needs Read on its own group, and Write on
its transactional ids. `scorestream topics acls` prints all of these, for each role. The chart's
`deploy/helm/scorestream/templates/strimzi-users.yaml` has them, too.
"""


def markdown() -> str:
    """The page without its first line."""
    policy = {topic.name: topic.options["cleanup.policy"] for topic in wanted(KafkaSettings(), NAMES)}
    policy[NAMES.audit] = audit.OPTIONS["cleanup.policy"]
    lines = ["| topic | holds | cleanup | scorestream | Connect |", "| --- | --- | --- | --- | --- |"]
    for name, holds, own, connect in _rows():
        lines.append(f"| `{name}` | {holds} | {policy.get(name, 'compact')} | {own} | {connect} |")
    return "\n".join([_HEAD, *lines, _GROUPS])


def _rows() -> list[tuple[str, str, str, str]]:
    of_rows = [(name, "changes of a source table", _READ, _WRITE) for name in NAMES.sources]
    return [
        *of_rows,
        (NAMES.of(HEARTBEAT), "the canary, every second", _READ, _WRITE),
        (NAMES.of(SIGNAL), "signals of backfills, as changes of their table", _READ, _WRITE),
        (NAMES.notifications, "progress of Debezium's snapshots", _READ, _WRITE),
        (NAMES.debezium_heartbeat, "Debezium's own heartbeat", _READ, _WRITE),
        (NAMES.dead_letters, "refused messages, whole", _WRITE, ""),
        (NAMES.settled_letters, "which dead letters are settled", _WRITE, ""),
        (NAMES.replays, "plans and state of replays", _WRITE, ""),
        (NAMES.backfills, "plans and state of backfills", _WRITE, ""),
        (NAMES.audit, "who changed what, and when", _WRITE, ""),
        (NAMES.outages, "outages longer than the compaction lag, until they are repaired", _WRITE, ""),
    ]
