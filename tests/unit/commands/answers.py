"""Made-up answers of the brokers, for the tests of this folder."""

from __future__ import annotations

from stream.config import Settings
from stream.kafka.topics import Found, wanted


def found(state: str = "present", *, last: str | None = None) -> list[Found]:
    """All wanted topics in a state; the last one may be in another."""
    topics = wanted(Settings().kafka, Settings().topics)
    return [
        Found(topic, (last or state) if topic is topics[-1] else state, topic.partitions, ("x 1, not 2",))
        for topic in topics
    ]
