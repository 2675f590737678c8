"""Which dead letters are settled, and which are open. The letters themselves are never changed.

Enters: letters that an operator or a redrive settled. Leaves: the state of each letter. The states are ranges of
offsets in a compacted topic, one message for each run of neighbours. So 100,000 letters of one outage are one message.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from stream.kafka.broker import Broker
from stream.kafka.dead_letters import Kept
from stream.kafka.ranges import records
from stream.kafka.state_topic import StateTopic
from stream.kafka.topic_partition import TP

State = Literal["reindexed", "acked", "discarded"]
OPEN = "open"


class Settlement(msgspec.Struct, frozen=True):
    """How a run of letters was settled, and when (milliseconds since 1970)."""

    state: State
    at_ms: int


class Settled:
    """The settled letters, as the topic had them when it was read."""

    def __init__(self, values: Mapping[str, bytes] | None = None) -> None:
        self._runs: dict[int, list[tuple[int, int, Settlement]]] = {}  # partition -> first, last, how
        for key, value in (values or {}).items():
            partition, first, last = map(int, key.replace("/", "-").split("-"))
            self._runs.setdefault(partition, []).append((first, last, msgspec.json.decode(value, type=Settlement)))
        self._longest: dict[int, int] = {}
        for partition, runs in self._runs.items():
            runs.sort(key=lambda run: run[:2])
            self._longest[partition] = max(last - first for first, last, _ in runs)

    @property
    def is_empty(self) -> bool:
        """Whether no letter was ever settled."""
        return not self._runs

    def state(self, kept: Kept) -> str:
        """`open`, or how the letter was settled last.

        A letter that was refused after its offset was settled is another letter: the topic was created again.
        """
        runs = self._runs.get(kept.partition, [])
        found: Settlement | None = None
        at = bisect_right(runs, kept.offset, key=lambda run: run[0])
        while at and kept.offset - runs[at - 1][0] <= self._longest[kept.partition]:
            at -= 1
            _, last, how = runs[at]
            if last >= kept.offset and kept.letter.refused_at_ms <= how.at_ms:
                found = how if found is None or how.at_ms > found.at_ms else found
        return OPEN if found is None else found.state

    def count(self, partition: int, start: int, end: int, *, first_ms: int) -> int:
        """How many of the letters from `start` up to `end` are settled.

        Args:
            first_ms: when the first of them was refused. Earlier settlements are of letters that are gone.
        """
        count = 0
        for first, last, how in self._runs.get(partition, ()):  # by first
            if how.at_ms >= first_ms:
                begin, start = max(first, start), max(start, min(last + 1, end))
                count += max(0, start - begin)
        return count


def count_settled(broker: Broker, letters: Mapping[TP, tuple[int, int]]) -> int:
    """How many of the dead letters in these ranges of offsets are settled.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    known = settled(broker)
    if known.is_empty:
        return 0
    first = {tp: (start, start + 1) for tp, (start, end) in letters.items() if start < end}
    count = 0
    for record in records(broker, first, group=f"{broker.topics.prefix}-dead-letters"):
        tp = TP(record.topic(), record.partition())
        count += known.count(tp.partition, *letters[tp], first_ms=record.timestamp()[1])
    return count


def settled(broker: Broker) -> Settled:
    """The settled letters; empty where none was ever settled. Creates no topic.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    with StateTopic(broker, broker.topics.settled_letters, create=False) as topic:
        return Settled(topic.values())


def settle(broker: Broker, letters: Iterable[tuple[int, int]], state: State) -> None:
    """Settle letters, named by partition and offset. Returns when the broker has it.

    Raises:
        KafkaUnavailable: no acknowledgement in time; settling again changes nothing.
    """
    how = Settlement(state, int(time.time() * 1000))
    with StateTopic(broker, broker.topics.settled_letters) as topic:
        topic.put({f"{partition}/{first}-{last}": how for partition, first, last in runs(letters)})


def runs(letters: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Partition, first and last offset of each run of neighbours."""
    found: list[tuple[int, int, int]] = []
    for partition, offset in sorted(set(letters)):
        if found and found[-1][0] == partition and found[-1][2] == offset - 1:
            found[-1] = (partition, found[-1][1], offset)
        else:
            found.append((partition, offset, offset))
    return found
