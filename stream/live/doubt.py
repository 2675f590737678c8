"""Which messages a dead worker may have begun, and how many this worker may leave begun itself.

Enters: where a predecessor may have begun messages, and every batch that is delivered. Leaves: which batches are in
doubt, and the mark (stream/kafka/marks.py) that each commit carries. Pure: it knows no client and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stream.kafka.marks import Mark
from stream.kafka.topic_partition import TP
from stream.live.record_batch import RecordBatch


class Begun(NamedTuple):
    """Where a predecessor may have begun messages of a partition: right behind each of `places`, up to `end`.

    `rewound`: the group has processed the messages up to there before; 0 where nothing was moved back.
    """

    places: tuple[int, ...]
    end: int
    rewound: int = 0


class Taken(NamedTuple):
    """A partition as its predecessor left it: committed offset, mark, and the log's end where the mark is not clean."""

    offset: int
    mark: Mark
    end: int | None

    @property
    def begun(self) -> Begun | None:
        """What is in doubt, and how far the group once was; None when neither is."""
        places = (self.offset, *self.mark.begun)
        if self.end is not None and self.end > places[0]:
            return Begun(places, self.end, self.mark.rewound)
        return Begun((), 0, self.mark.rewound) if self.mark.rewound else None


class Doubts:
    """The doubtful stretches of all partitions that were taken over.

    A stretch is counted in messages: no worker has more than `most` messages of a topic begun and not committed.
    Offsets would not do, because compaction leaves gaps.
    """

    def __init__(self) -> None:
        self._left: dict[TP, dict[int, int]] = {}  # place -> messages behind it that are still in doubt
        self._ends: dict[TP, int] = {}
        self._rewound: dict[TP, int] = {}

    def take_over(self, begun: Mapping[TP, Begun], *, most: int) -> None:
        """Forget all stretches, and doubt the messages that these predecessors may have begun."""
        self._left = {tp: dict.fromkeys(each.places, most) for tp, each in begun.items()}
        self._ends = {tp: each.end for tp, each in begun.items()}
        self._rewound = {tp: each.rewound for tp, each in begun.items() if each.rewound}

    def forget(self, tps: Iterable[TP]) -> None:
        """Forget partitions that begin again with another log: their old offsets mean nothing."""
        for tp in tps:
            self._left.pop(tp, None)
            self._ends.pop(tp, None)
            self._rewound.pop(tp, None)

    def meets(self, tp: TP, batch: RecordBatch) -> bool:
        """Whether a predecessor may have begun messages of the batch. Its messages count as delivered."""
        found = False
        for place, left in self._left.get(tp, {}).items():
            if left <= 0 or batch.start >= self._ends[tp] or batch.end <= place:
                continue
            found = True
            whole = batch.start >= place
            self._left[tp][place] -= len(batch) if whole else sum(r.offset >= place for r in batch.records)
        return found

    def at(self, tp: TP, offset: int) -> bool:
        """Whether messages behind this offset are still in doubt."""
        return offset < self._ends.get(tp, 0) and any(left > 0 for left in self._left[tp].values())

    def is_old(self, tp: TP, offset: int) -> bool:
        """Whether the group has processed the message at this offset before it was moved back."""
        return offset < self._rewound.get(tp, 0)

    def mark(self, tp: TP, offset: int) -> Mark:
        """The mark for a commit of this offset: the places that lie ahead of it."""
        places = [place for place, left in self._left.get(tp, {}).items() if place > offset and left > 0]
        rewound = self._rewound.get(tp, 0)
        return Mark(begun=tuple(sorted(places)), rewound=rewound if rewound > offset else 0)
