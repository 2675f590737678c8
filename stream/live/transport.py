"""Kafka for Faust by the list: one Faust message is all records of one fetch of a partition, not one record.

    aiokafka's fetcher --faust_fetch--> RecordBatch --BatchScheduler--> conductor --> queue of the agent
                                         Offsets <--fetched, done--> commit

Faust spends about 100 us on every message of its own; a list of records is one such message. This transport differs
from Faust's own aiokafka transport in more ways:
- The offset to commit is the lowest one not done (stream/kafka/committable.py), and reaches past control records.
- Fetching stops by records and bytes that are under way for each topic. Faust would count its messages, and sleep for
  a second when all partitions are full.
- Waiting for batches under way is bounded, when partitions are revoked or the process ends.
- A partition that is given up with no batch under way is marked so, in the metadata of its committed offset. Without
  that mark the next worker learns which messages its predecessor may have begun (`RecordBatch.in_doubt`).

Enters: bytes of topics. Leaves: RecordBatch. It never decodes a message, and commits only acknowledged messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from faust.types import TP as FaustTP
from faust.types import ConsumerMessage

from stream.kafka.committable import Offsets, PartitionProgress
from stream.kafka.marks import Mark
from stream.kafka.topic_partition import TP
from stream.live.doubt import Doubts
from stream.live.fetch import BatchConsumerThread
from stream.live.limits import Limits
from stream.live.positions import positions
from stream.live.record_batch import RecordBatch
from stream.live.uncommitted import Uncommitted
from stream.pipeline.late import Newest

log = logging.getLogger(__name__)

SCHEME: Final = "batches"  # batches://host:port
HELD_BYTES: Final = 64 << 20  # fetching of a topic stops when this many bytes of it are under way
HEARD: Final = 0.75  # share of the session's timeout after a heartbeat within which the group keeps this worker
FULL_POLL_S: Final = 0.01  # how often the other topics are read while one is full


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer: which messages are delivered, which may be committed, when fetching stops."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._doubts = Doubts()  # the thread that Faust's own start makes asks the brokers
        super().__init__(*args, **options)
        self.limits: Limits = self.app.limits
        self.newest: Newest = self.app.newest
        self.offsets = Offsets()
        self.abandoned = False  # true when the batches under way will not be acknowledged: do not wait for them
        self._room = asyncio.Event()
        self._ours: frozenset[TP] = frozenset()
        self._since: dict[TP, int] = {}  # partition -> the generation since which it is ours without a break
        self._generation = -1
        self._begun_again: dict[TP, int] = {}  # what to commit of logs that began again
        self._again: dict[TP, tuple[int, int]] = {}  # where a partition was fetched again, and how often
        self._uncommitted = Uncommitted()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        thread = BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)
        thread.mark = self._mark
        return thread

    def _mark(self, tp: TP, offset: int) -> Mark:
        return replace(self._doubts.mark(tp, offset), newest=self.newest.before(tp, offset))

    # Delivery

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch once and deliver; called by Faust in a loop."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        assigned = self._get_active_partitions()
        topics = {tp.topic for tp in assigned}
        await self._commit_what_is_due(topics)
        full = {topic for topic in topics if self._is_full(topic)}
        wanted = {tp for tp in assigned if tp.topic not in full and not self._is_far_behind(tp)}
        fetched: Mapping[TP, RecordBatch] = {}
        if wanted:
            fetched = await self._getmany(wanted, 0 if full else timeout)
        if not fetched:
            if full or not wanted:
                await self._wait_for_room(FULL_POLL_S if wanted else timeout)
            else:
                self._look_for_lost(wanted)
            return
        for tp, batch in self.scheduler.iterate(fetched):
            # Revoked meanwhile: the partition's next owner starts from the committed offset.
            if not self.flow_active or self.should_stop or batch.generation != self.app.consumer_generation_id:
                break
            if tp not in assigned:
                continue
            if (expected := self._expected(tp)) is not None and batch.start < expected:
                self._restart(tp, expected, batch.start)
            if not self._follows(tp, batch.start):
                continue
            last = batch.last_offset if batch.records else None
            self.offsets.fetched(tp, start=batch.start, end=batch.end, last=last, messages=len(batch), size=batch.size)
            if batch.records:
                batch.in_doubt = self._doubts.meets(tp, batch)
                batch.old = self._doubts.is_old(tp, batch.start)
                self._uncommitted.delivered(tp, end=batch.end, messages=len(batch))
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, self._to_message(tp, batch)

    def _is_full(self, topic: str) -> bool:
        held = self.offsets.held(topic)
        return (
            held.messages >= self.limits.hold_messages
            or held.size >= HELD_BYTES
            or self._uncommitted.of(topic) >= self.limits.uncommitted_messages
        )

    def _is_far_behind(self, tp: TP) -> bool:
        """Whether very much of the partition follows a batch that was left aside. Others go on."""
        return self._uncommitted.behind_aside(tp) >= self.limits.uncommitted_messages

    async def _commit_what_is_due(self, topics: Iterable[str]) -> None:
        if self._begun_again:  # no message may ever come that lowers the committed offset of an empty log
            begun_again, self._begun_again = self._begun_again, {}
            await self._commit(begun_again)
        if any(self._is_due(topic) for topic in topics):
            await self.commit()

    def _is_due(self, topic: str) -> bool:
        """Whether enough is acknowledged and not committed that the next commit must not wait for Faust's interval."""
        return self._uncommitted.of(topic) - self.offsets.held(topic).messages >= self.limits.commit_messages

    async def _wait_for_room(self, timeout_s: float) -> None:
        self._room.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), timeout_s)

    def _follows(self, tp: TP, start: int) -> bool:
        """Whether the batch follows the last one. False when aiokafka lost records before `start`: fetch them again.

        Faust cancels its fetcher now and then, also while it waits for records that are on their way.
        """
        expected = self._expected(tp)
        if expected is None or start <= expected:
            return True
        fields = {"topic": tp.topic, "partition": tp.partition, "from": expected, "to": start}
        at, tries = self._again.get(tp, (expected, 0))
        self._again[tp] = (expected, tries + 1 if at == expected else 1)
        if at == expected and tries == 3:  # no use fetching again: the log itself begins later now
            log.error("messages are gone from the log", extra=fields)
            return True
        log.warning("fetching again", extra=fields)
        self._thread.seek(driver.ensure_aiokafka_TP(tp), expected)
        return False

    def restart_topics(self, topics: Iterable[str]) -> None:
        """Read these topics from the start: each was deleted and created again. In the event loop's thread."""
        for tp in self._get_active_partitions():
            if tp.topic in topics:
                self._restart(tp, self._expected(tp), 0)
                self._thread.seek(driver.ensure_aiokafka_TP(tp), 0)
                self._begun_again[FaustTP(*tp)] = 0

    def _restart(self, tp: TP, expected: int | None, start: int) -> None:
        """Read a partition from its start: its log is another one, or has lost its end. Its old offsets mean nothing.

        Batches under way are still processed. Their acknowledgement counts for nothing, as after a rebalance.
        """
        log.error(
            "the log began again: reading it from there",
            extra={"topic": tp.topic, "partition": tp.partition, "expected": expected, "start": start},
        )
        for message in list(self._unacked_messages):
            if message.tp == tp:
                message.generation_id = -1
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)
        self._committed_offset.pop(tp, None)
        self._read_offset[tp] = None
        self._again.pop(tp, None)
        self.offsets.forget([tp])
        self._uncommitted.forget([tp])
        self._doubts.forget([tp])
        self.newest.start(tp, 0, 0)

    def _look_for_lost(self, wanted: set[TP]) -> None:
        """After a fetch without records, look for lost ones: aiokafka's records are either delivered or lost."""
        for tp in wanted:
            position = self._thread.position_now(tp)
            if position is not None and self._expected(tp) is not None and self._follows(tp, position):
                self.offsets.fetched(tp, start=position, end=position, last=None)

    def _expected(self, tp: TP) -> int | None:
        """Where the partition's next batch must start; None when that is not known yet."""
        if (end := self.offsets.end(tp)) is not None:
            return end
        # Faust has sought the committed offset before it fetches. Where none is committed, it begins anywhere.
        committed: int | None = self._committed_offset[tp]
        return self._thread.began_at(tp) if committed is None else committed

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        batch: RecordBatch = record
        return batch.as_message()

    # Commits

    def ack(self, message: ConsumerMessage) -> bool:
        """Record that a batch is done.

        One of an earlier generation counts for nothing: its partition was read again since.
        """
        if message.generation_id != self.app.consumer_generation_id:
            message.acked = True
            self._unacked_messages.discard(message)
            self._room.set()
            return False
        if message.value.aside:
            self._uncommitted.take_back(message.tp)
        acked = bool(super().ack(message))
        self._settle(message.tp)
        self._room.set()
        return acked

    def leave_aside(self, message: ConsumerMessage) -> None:
        """A batch is processed, and will be acknowledged after a large reindex.

        Until then its records are out of memory, but for dead letters that wait. Its partition's offset stays, and no
        rebalance waits for it.
        """
        if message.generation_id == self.app.consumer_generation_id:
            self.offsets.leave_aside(message.tp, message.offset, in_memory=message.value.has_letters)
            self._uncommitted.leave_aside(message.tp)
        message.value.leave_aside()
        self._room.set()

    def _settle(self, tp: TP) -> None:
        for last in self._acked.pop(tp, ()):
            self.offsets.done(tp, last)
        self._acked_index.pop(tp, None)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for tp in self.offsets:
            if topics is None or tp in topics or tp.topic in topics:
                yield FaustTP(*tp)

    def _new_offset(self, tp: TP) -> int | None:
        self._settle(tp)  # messages that Faust acknowledged without `ack`
        return self.offsets.safe(tp)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        did = bool(await super()._commit(offsets))
        if did:
            for tp, offset in offsets.items():
                self._uncommitted.committed(TP(*tp), offset)
            self._room.set()
        return did

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Does nothing: positions show the gaps (stream/kafka/committable.py)."""

    async def wait_empty(self) -> None:
        """Wait a limited time until the agents' batches are done; then commit."""
        deadline = time.monotonic() + self.limits.finish_s
        while not self.abandoned and self._under_way() and (left := deadline - time.monotonic()) > 0:
            await self._wait_for_room(min(left, 0.1))
            self._clean_unacked_messages()
        if (left_over := self._under_way()) and not self.abandoned:
            log.warning("gave up waiting for batches under way", extra={"batches": left_over})
        self._unacked_messages.clear()
        # A commit that is under way was put together before the last acknowledgement, and Faust would leave it at that.
        while await self.maybe_wait_for_commit_to_finish():
            pass
        await self.commit_and_end_transactions()
        settled = {tp: at for tp in self.offsets if (at := self.offsets.settled(tp)) is not None}
        # Before the end of what a predecessor may have begun, the doubt is handed on.
        await self._thread.commit_clean({tp: at for tp, at in settled.items() if not self._doubts.at(TP(*tp), at)})

    def _under_way(self) -> int:
        return sum(not message.value.aside for message in self._unacked_messages)

    # Ownership

    async def perform_seek(self) -> None:
        await super().perform_seek()
        taken = await self._thread.take_over()
        for tp, found in taken.items():
            self.newest.start(tp, found.offset, found.mark.newest)
        begun = {tp: found.begun for tp, found in taken.items() if found.begun is not None}
        self._doubts.take_over(begun, most=self.limits.doubt_messages)
        if left := sum(bool(each.places) for each in begun.values()):
            log.info("taken over from a worker that died", extra={"partitions": left})

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)  # waits for batches under way, and commits
        self.offsets.forget(revoked)
        self._uncommitted.forget(revoked)
        self._ours = frozenset()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # Another member may have written to the partition in a generation without this worker.
        known = self._since if generation_id == self._generation + 1 else {}
        self._since = {TP(*tp): known.get(TP(*tp), generation_id) for tp in assigned}
        self._ours = frozenset(self._since)
        self._generation = generation_id
        self._thread.heard()
        fetched = list(self.offsets)
        self.offsets.forget(fetched)
        self._uncommitted.forget(fetched)
        self._again.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def still_ours(self, batch: RecordBatch) -> bool:
        """Whether the partition has been ours ever since the batch was fetched. From any thread.

        A process that slept, or was cut off, does not know yet what it has lost. But it has not heard from its group.
        """
        heard = self._thread.silent_s < HEARD * self.app.conf.broker_session_timeout
        return heard and batch.tp in self._ours and self._since[batch.tp] <= batch.generation

    def progress(self) -> dict[TP, PartitionProgress]:
        """How far each assigned partition is. From any thread; asks no broker."""
        return positions(self._thread._consumer, self._committed_offset, self.offsets)


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """For broker URLs `batches://host:port`."""

    Consumer: ClassVar[type] = BatchConsumer


def register() -> None:
    """Teach Faust the URL scheme."""
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:{BatchTransport.__name__}"
