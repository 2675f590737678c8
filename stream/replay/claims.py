"""The lanes of one process of a replay: claimed, begun where the group has come, finished, lost.

    lock (Postgres) -> committed offsets (Kafka) -> LogReader reads the rest of the lane -> released at its end

Enters: the present pass. Leaves: partitions that the reader reads, each to its end. It commits nothing.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from stream.errors import PostgresUnavailable
from stream.kafka.log_reader import LogReader, Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.ports import Retrying
from stream.replay.lanes import ADVANCE, Lanes
from stream.replay.plan import Pass, ReplayPlan, Span
from stream.replay.state import check_kept

log = logging.getLogger(__name__)

READ_AHEAD_LANES: Final = 2  # lanes that are read at a time
WAIT_S: Final = 0.3  # between two tries to get a lane, when other processes have them all


class Safe(Protocol):
    """How far the offsets of a partition may be committed, as stream/kafka/committable.py."""

    def safe(self, tp: TP, /) -> int | None: ...


class Claims:
    """Claims lanes and has them read. For one thread.

    Args:
        lanes: the locks.
        reader: reads what is claimed.
        retry: until a store answers.
        on_begin: called with the offsets from which partitions are about to be read.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        lanes: Lanes,
        reader: LogReader,
        retry: Retrying,
        on_begin: Callable[[Mapping[TP, int]], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._on_begin = on_begin
        self._lanes = lanes
        self._reader = reader
        self._retry = retry
        self._ends: dict[int, dict[TP, int]] = {}  # lane -> its partitions and their ends
        self._done: set[int] = set()  # lanes of this pass that are known to be done
        self._claimed_at = float("-inf")

    @property
    def lanes(self) -> list[int]:
        """Lanes that are read or worked on."""
        return sorted(self._ends)

    def claim(self, present: Pass) -> None:
        """Claim another lane when few are left to read."""
        reading = {tp.partition for tp in self._reader.reading}
        if len(reading) >= READ_AHEAD_LANES or time.monotonic() - self._claimed_at < WAIT_S:
            return
        for lane, spans in sorted(present.lanes().items(), key=lambda item: -sum(s.messages for s in item[1])):
            if lane in self._done or lane in self._ends or not self._retry(partial(self._lanes.claim, lane)):
                continue
            if self._begin(present, lane, spans):
                return
            self._done.add(lane)
            self._release(lane)
        self._claimed_at = time.monotonic()  # no lane is free

    def left(self, present: Pass) -> bool:
        """Whether the group has not finished the pass. Then lanes of a process that died can be claimed again."""
        left = present.undone(self._committed(present.spans))
        self._done -= left.keys()
        return bool(left)

    def at_once(self) -> None:
        """Let the next `claim` try again at once."""
        self._claimed_at = float("-inf")

    def begin_pass(self) -> None:
        """Forget the lanes of the pass before."""
        self._done.clear()
        self.at_once()

    def ended(self, offsets: Safe) -> list[int]:
        """Lanes of which every message is done."""
        return [
            lane for lane, ends in self._ends.items() if all((offsets.safe(tp) or 0) >= end for tp, end in ends.items())
        ]

    def finish(self, lane: int) -> Iterable[TP]:
        """Release a lane whose offsets are committed; returns its partitions."""
        tps = self._ends.pop(lane)
        self._done.add(lane)
        self._release(lane)
        return tps

    def lost(self) -> list[TP]:
        """Partitions that another process may have by now, because a lock was lost. They are no longer read."""
        found: list[TP] = []
        for lane in self._lanes.check() - {ADVANCE}:
            log.warning("lost a lane", extra={"lane": lane})
            tps = self._ends.pop(lane, {})
            self._reader.drop(tps)
            found += tps
        return found

    def still_mine(self, stretches: Sequence[Stretch]) -> bool:
        """Whether this process still holds the lanes of these messages. For any thread."""
        return {stretch.partition for stretch in stretches} <= self._lanes.held

    def alone(self, step: Callable[[], None]) -> bool:
        """Run a step that one process runs at a time: the start of the next pass.

        False: another process holds the lock.
        """
        if not self._retry(partial(self._lanes.claim, ADVANCE)):
            return False
        step()
        self._release(ADVANCE)
        return True

    def _begin(self, present: Pass, lane: int, spans: Sequence[Span]) -> bool:
        """Begin to read the rest of a lane; False when it is done."""
        left = Pass(present.kind, tuple(spans)).undone(self._committed(spans)).get(lane)
        if not left:
            return False
        self._retry(lambda: self._on_begin({span.tp: span.start for span in left}))
        self._ends[lane] = {span.tp: span.end for span in left}
        self._reader.add({span.tp: (span.start, span.end) for span in left})
        return True

    def _committed(self, spans: Sequence[Span]) -> Mapping[TP, int]:
        """The group's committed offsets. Raises when one has expired, since the partition would begin again."""
        tps = [span.tp for span in spans]
        committed = self._retry(lambda: self._reader.committed(tps))
        check_kept(self._plan, tps, committed)
        return committed

    def _release(self, lane: int) -> None:
        with contextlib.suppress(PostgresUnavailable):  # then the connection is gone, and the lock with it
            self._lanes.release(lane)
