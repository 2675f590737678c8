"""Messages between the reader and the commit: gathered into batches, worked on in threads, done, committed.

Enters: stretches of the log. Leaves: what became of each batch, and the group's committed offsets. They reach only as
far as everything before them is done, whichever batch ends first. For one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from stream.kafka.committable import Offsets
from stream.kafka.log_reader import LogReader, Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.ports import Retrying
from stream.replay.batches import Batches
from stream.replay.plan import PassKind
from stream.replay.tally import Worked

COMMIT_S = 0.5


class InFlight:
    """At most `threads` batches are under way at a time.

    Args:
        work: processes a batch of one table; called in several threads.
        reader: commits.
        retry: until Kafka answers.

    Attributes:
        offsets: how far each partition is done.
    """

    def __init__(
        self,
        work: Callable[[str, Sequence[Stretch], PassKind], Worked],
        reader: LogReader,
        retry: Retrying,
        *,
        threads: int,
    ) -> None:
        self._work = work
        self._reader = reader
        self._retry = retry
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="replay")
        self._batches = Batches()
        self._under_way: dict[Future[Worked], list[Stretch]] = {}
        self._stored: dict[TP, int] = {}  # as this process committed them
        self._committed_at = float("-inf")
        self.offsets = Offsets()

    @property
    def under_way(self) -> int:
        """Batches that threads work on."""
        return len(self._under_way)

    @property
    def commit_is_due(self) -> bool:
        return time.monotonic() - self._committed_at >= COMMIT_S

    def gather(self, stretches: Iterable[Stretch]) -> None:
        """Take what was read."""
        for stretch in stretches:
            last = stretch.last_offset
            self.offsets.fetched(stretch.tp, start=stretch.start, end=stretch.end, last=last)
            if last is not None:
                self._batches.add(stretch)

    def has_full(self, messages: int) -> bool:
        """Whether a batch of this many messages is gathered."""
        return self._batches.any_full(messages)

    def submit(self, kind: PassKind, *, most: int, messages: int, everything: bool) -> None:
        """Give batches to the threads while fewer than `most` are under way.

        Args:
            messages: of a full batch.
            everything: also batches that are not full.
        """
        if self.under_way >= most:
            return
        for table, stretches in self._batches.take(messages, everything=everything):
            self._under_way[self._threads.submit(self._work, table, stretches, kind)] = stretches
            if self.under_way >= most:
                return

    def finished(self, *, timeout_s: float) -> list[tuple[str, Worked]]:
        """(topic, what became of it) of each batch that has ended by now. A batch's error is raised."""
        found: list[tuple[str, Worked]] = []
        if not self._under_way:
            return found
        ended, _ = wait(self._under_way, timeout=timeout_s, return_when=FIRST_COMPLETED)
        for future in ended:
            stretches = self._under_way.pop(future)
            found.append((stretches[0].topic, future.result()))
            for stretch in stretches:
                assert stretch.last_offset is not None
                self.offsets.done(stretch.tp, stretch.last_offset)
        return found

    def commit(self) -> None:
        """Commit what has moved. Raises KafkaUnavailable when the retries are over."""
        self._committed_at = time.monotonic()
        safe = {tp: offset for tp in self.offsets if (offset := self.offsets.safe(tp)) is not None}
        moved = {tp: offset for tp, offset in safe.items() if self._stored.get(tp) != offset}
        if moved:
            self._retry(lambda: self._reader.commit(moved))
            self._stored |= moved

    def give_up(self, tps: Sequence[TP]) -> None:
        """Drop what is gathered of partitions that another process may have. Batches under way are not committed."""
        self.offsets.forget(tps)
        self._batches.drop(tps)

    def close(self) -> None:
        """Wait for the batches under way, and begin no other."""
        self._threads.shutdown(wait=True, cancel_futures=True)
