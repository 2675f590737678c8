"""Which offset of a partition may be committed: the lowest one whose message is not done yet.

Enters: fetched stretches of the log, [start, end), and the news that one is done. Leaves: the offset to commit. It
knows no client and no clock. Kafka's logs have holes (compaction, control records, aborted transactions), so offsets
are never counted. A stretch begins where the one before it ended, regardless of the holes in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stream.kafka.topic_partition import TP


class Held(NamedTuple):
    """Messages that are fetched and not done, and their bytes in memory."""

    messages: int
    size: int  # bytes of keys and values


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """How far a partition is; None where it is not known yet.

    Attributes:
        position: the next offset to deliver to the agent.
        committed: the next offset to process after a restart, as this process committed it or found it.
        end: the end of what could be read when the broker last answered a fetch.
        answered_at: when that was, seconds since 1970.
        waiting: messages of the partition's topic that are fetched and not acknowledged.
    """

    position: int | None
    committed: int | None
    end: int | None
    answered_at: float | None
    waiting: int


@dataclass(slots=True)
class _Stretch:
    start: int
    messages: int
    size: int


@dataclass(slots=True)
class _Partition:
    base: int  # start of the first stretch
    end: int  # end of the latest stretch
    undone: dict[int, _Stretch] = field(default_factory=dict)  # by the offset of its last message

    def safe(self) -> int:
        return min((stretch.start for stretch in self.undone.values()), default=self.end)


class Offsets:
    """The fetched and the finished stretches of all partitions that are ours.

    Example: [100, 200) and [200, 250) were fetched. While the first is under way, 100 is the offset to commit, even
    when the second is done. Once both are done, it is 250, also where 249 was a transaction's marker.
    """

    def __init__(self) -> None:
        self._partitions: dict[TP, _Partition] = {}
        self._held: dict[str, list[int]] = {}  # topic -> [messages, bytes]

    def __iter__(self) -> Iterator[TP]:
        return iter(list(self._partitions))

    def end(self, tp: TP) -> int | None:
        """Where the next stretch of the partition must start; None when nothing was fetched since it became ours."""
        known = self._partitions.get(tp)
        return None if known is None else known.end

    def fetched(self, tp: TP, *, start: int, end: int, last: int | None, messages: int = 0, size: int = 0) -> None:
        """Record a fetched stretch. `last` is the offset of its last message, None for a stretch without messages."""
        known = self._partitions.setdefault(tp, _Partition(start, start))
        # After a step back (a seek to the committed offset) stretches overlap; each counts until it is done.
        known.end = end
        if last is None:
            return
        if (same := known.undone.get(last)) is not None:
            start, messages, size = min(start, same.start), messages + same.messages, size + same.size
            self._release(tp.topic, same)
        known.undone[last] = _Stretch(start, messages, size)
        held = self._held.setdefault(tp.topic, [0, 0])
        held[0] += messages
        held[1] += size

    def done(self, tp: TP, last: int) -> bool:
        """Record that the stretch whose last message has this offset is done; False when the stretch is unknown."""
        known = self._partitions.get(tp)
        stretch = None if known is None else known.undone.pop(last, None)
        if stretch is None:
            return False
        self._release(tp.topic, stretch)
        return True

    def leave_aside(self, tp: TP, last: int, *, in_memory: bool = False) -> None:
        """Take a stretch out of what is held: its messages are out of memory, though it is not done yet.

        Args:
            in_memory: some of them may stay in memory, so their bytes still count.
        """
        known = self._partitions.get(tp)
        stretch = None if known is None else known.undone.get(last)
        if stretch is not None:
            size = stretch.size if in_memory else 0
            self._release(tp.topic, stretch)
            stretch.messages, stretch.size = 0, size
            self._held[tp.topic][1] += size

    def safe(self, tp: TP) -> int | None:
        """The offset to commit: all messages before it are done.

        None when none is done since the partition became ours.
        """
        known = self._partitions.get(tp)
        if known is None:
            return None
        safe = known.safe()
        return safe if safe > known.base else None

    def settled(self, tp: TP) -> int | None:
        """The end of all fetched stretches, when all of them are done.

        None when one is under way, or nothing was fetched since the partition became ours.
        """
        known = self._partitions.get(tp)
        return None if known is None or known.undone else known.end

    def held(self, topic: str) -> Held:
        """How much of a topic is fetched and not done."""
        return Held(*self._held.get(topic, (0, 0)))

    def forget(self, tps: Iterable[TP]) -> None:
        """Forget partitions that are not ours any more, or will be read again from their committed offsets."""
        for tp in tps:
            known = self._partitions.pop(TP(*tp), None)
            for stretch in known.undone.values() if known is not None else ():
                self._release(tp.topic, stretch)

    def _release(self, topic: str, stretch: _Stretch) -> None:
        held = self._held[topic]
        held[0] -= stretch.messages
        held[1] -= stretch.size
