"""Whether a group is so late that compaction may have removed changes before the group read them.

Enters: the group's committed offsets, and the topics' options. Leaves: the partitions that are too late.

Compaction keeps the last message of each key, and keeps every single change only for min.compaction.lag.ms. After that
it may remove a change of place that another change of the row follows. Then only a comparison with Postgres finds it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from stream.kafka.broker import Broker, Retention
from stream.kafka.next_messages import Next
from stream.kafka.topic_partition import TP


def outrun(
    broker: Broker, group: str, topics: Sequence[str], *, reached: Mapping[TP, int] | None = None
) -> dict[TP, float]:
    """The partitions whose next message is older than the compaction lag, with that message's age in seconds.

    Args:
        reached: offsets that the group had committed before a rewind: it has read the messages up to there.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    tps = broker.partitions(topics)
    ends, committed = broker.ends(tps), broker.committed(group, tps)
    first = {tp: max(offset, (reached or {}).get(tp, 0)) for tp, offset in committed.items()}
    waiting = {tp: (offset, ends[tp]) for tp, offset in first.items() if offset < ends[tp]}
    return too_old(broker.next_messages(waiting), broker.retention(topics), now=time.time())


def too_old(waiting: Mapping[TP, Next], kept: Mapping[str, Retention], *, now: float) -> dict[TP, float]:
    """As `outrun`, from the broker's answers; `now` is Unix seconds."""
    found = {}
    for tp, message in waiting.items():
        retention = kept.get(tp.topic)
        if message.at is None or retention is None or retention.seconds is None:
            continue
        if (age := now - message.at) > retention.seconds:
            found[tp] = age
    return found
