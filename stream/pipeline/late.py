"""Which messages come late: older than one that lies before them in their partition.

Debezium writes the changes of a partition in the order of their versions. A message of a lower version than one before
it is a copy: sent twice, redelivered after a restart, or appended by a tool. Or the source has failed over to a server
that lacks the last changes. The content of such a message may be outdated. The delete marker that would hide it stands
where its scorecard was then. So the pipeline writes none of it, and reindexes the scorecards that it names.

Enters: versions of messages in the order of the log. Leaves: the late ones. One number for each partition is kept, for
each of the last batches. Pure.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final

Where = tuple[str, int]  # topic, partition

_KEPT: Final = 64  # batches of a partition: more than are ever under way at once


class Newest:
    """The highest version before an offset, for each partition. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reached: dict[Where, list[tuple[int, int]]] = {}  # (end of a stretch, highest version up to it), by end

    def start(self, where: Where, offset: int, version: int) -> None:
        """Forget the partition; `version` is the highest before `offset`, 0 where it is not known."""
        with self._lock:
            self._reached[where] = [(offset, version)] if version else []

    def note(self, where: Where, end: int, version: int) -> None:
        """A stretch of the log up to `end` is begun; `version` is the highest in it."""
        with self._lock:
            held = self._reached.setdefault(where, [])
            held.append((end, version))
            held.sort()
            while len(held) > _KEPT:
                _, oldest = held.pop(0)
                held[0] = (held[0][0], max(oldest, held[0][1]))

    def before(self, where: Where, offset: int) -> int:
        """The highest version of the stretches that end at or before `offset`; 0 where none is known."""
        with self._lock:
            return max((version for end, version in self._reached.get(where, ()) if end <= offset), default=0)

    def forget_above(self, where: Where, version: int) -> None:
        """Forget versions of a partition that no change of this source can have."""
        with self._lock:
            held = self._reached.get(where, [])
            self._reached[where] = [(end, reached) for end, reached in held if reached <= version]


def late(versions: Sequence[int], floor: int) -> tuple[list[int], int]:
    """Indexes of the messages that are older than one before them; and the highest version up to the last.

    Args:
        versions: of messages of one partition, in the order of the log; 0 for one that has no place in the order.
        floor: the highest version before them.
    """
    if not versions:
        return [], floor
    if versions[0] >= floor and list(versions) == sorted(versions):
        return [], versions[-1]
    found = []
    for index, version in enumerate(versions):
        if version >= floor:
            floor = version
        elif version:
            found.append(index)
    return found, floor


def late_of(
    parts: Iterable[tuple[Where, int, Sequence[int]]], newest: Newest, *, most: int | None = None
) -> tuple[set[int], dict[Where, int]]:
    """Indexes of the late messages, counted over all parts; and the highest version of each partition after them.

    Args:
        parts: partition, offset of the start, versions in order. A partition may come in several parts.
        most: a partition that has reached more is taken for one of which nothing is known.
    """
    found: set[int] = set()
    reached: dict[Where, int] = {}
    at = 0
    for where, start, versions in parts:
        if most is not None and newest.before(where, start) > most:
            newest.forget_above(where, most)
        floor = max(reached.get(where, 0), newest.before(where, start))
        indexes, reached[where] = late(versions, floor)
        found.update(at + index for index in indexes)
        at += len(versions)
    return found, reached
