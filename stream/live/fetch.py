"""Records out of aiokafka, a Kafka batch at a time: 5 times as fast as one by one.

Enters: the bytes that aiokafka's fetcher got from the brokers. Leaves: a RecordBatch for each partition. It reads
private attributes of aiokafka, as Faust's transport does. tests/integration/live/test_app.py notices when they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, CorruptRecordException, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver

from stream.kafka.marks import Mark
from stream.kafka.topic_partition import TP
from stream.live.dead_members import make_the_dead_leave
from stream.live.doubt import Taken
from stream.live.record_batch import RecordBatch

# Most bytes that are fetched, or taken from the fetched ones, at once. A larger message arrives all the same (KIP-74).
FETCH_BYTES: Final = 16 << 20
# How long the broker holds back an empty answer. Only one request for a broker is under way at a time. A partition
# whose records were still being taken is left out of it, and waits for the answer. Faust's own value is 1500.
FETCH_WAIT_MS: Final = 50
RETRY_BACKOFF_MS: Final = 500  # aiokafka logs each retry: with its own 100 ms that fills a screen every second
POLL_S: Final = 0.01


class _Member(AIOKafkaConsumer):  # type: ignore[misc]
    """Knows since when it has not heard from its group; makes members leave whose process is dead.

    Attributes:
        heard_at: when the last heartbeat was sent that the group answered normally, by the monotonic clock. Until the
            session's timeout after it, no other worker can have been given the partitions.
    """

    heard_at: float = float("-inf")

    async def start(self) -> None:
        await super().start()
        coordinator = self._coordinator
        await make_the_dead_leave(coordinator)  # before it joins, because the group would wait for them
        heartbeat = coordinator._do_heartbeat

        async def noted() -> bool:
            sent_at = time.monotonic()
            known: bool = await heartbeat()
            if known and not coordinator._rejoin_needed_fut.done():  # a rebalance does not wait for ever
                self.heard_at = sent_at
            return known

        coordinator._do_heartbeat = noted


class _Open:
    """A fetch's answer for one partition, taken some records at a time."""

    __slots__ = ("rest", "result")

    def __init__(self, result: FetchResult) -> None:
        self.result = result
        # aiokafka's own iterator is not used: its generator makes a cycle, which keeps the records in memory
        result._partition_records._records_iterator = None
        self.rest: list[Any] = []  # decoded, and above the limit of the last time

    def take(self, limit: int) -> list[Any]:
        """The next records, at most `limit` and at most about FETCH_BYTES of them; [] at a stretch without any.

        It does in one step what aiokafka's PartitionRecords does record by record. It checks the CRC, skips control
        records and aborted transactions, and moves the position.
        """
        source = self.result._partition_records
        out, self.rest = self.rest, []
        size = _size(out)
        while len(out) < limit and size < FETCH_BYTES and source._records.has_next():
            records = _next_batch(source)
            size += _size(records)
            out += records
        if len(out) > limit:
            out, self.rest = out[:limit], out[limit:]
        if self.rest:
            source.next_fetch_offset = out[-1].offset + 1
        elif out:
            source.next_fetch_offset = max(source.next_fetch_offset, out[-1].offset + 1)
        self.result._update_position()
        return out

    @property
    def empty(self) -> bool:
        return not self.rest and not self.result._partition_records._records.has_next()


def _next_batch(source: Any) -> list[Any]:
    batch = source._records.next_batch()
    if source._check_crcs and not batch.validate_crc():
        raise CorruptRecordException(f"wrong CRC in {source._tp} after offset {source.next_fetch_offset}")
    aborted = False
    if batch.producer_id is not None and source._isolation_level:
        source._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch:
            if source._contains_abort_marker(batch):
                source._aborted_producers.discard(batch.producer_id)
        else:
            aborted = batch.is_transactional and batch.producer_id in source._aborted_producers
    records: list[Any] = []
    if not batch.is_control_batch and not aborted:
        records = list(batch)
        if records and records[0].offset < source.next_fetch_offset:  # a batch is sent whole, also from its middle on
            records = [record for record in records if record.offset >= source.next_fetch_offset]
    source.next_fetch_offset = max(source.next_fetch_offset, batch.next_offset)
    return records


def _size(records: Sequence[Any]) -> int:
    return sum(map(len, filter(None, [record.value for record in records])))


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """aiokafka's consumer in its own thread and event loop, which also keeps the heartbeat.

    Attributes:
        mark: what goes into the metadata of a commit of this offset.
    """

    mark: Callable[[TP, int], Mark]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mark = lambda _tp, _offset: Mark()
        self._open: dict[TP, _Open] = {}
        self._began: dict[TP, tuple[Any, int]] = {}  # the assignment, and where its first records were taken

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        # The range assignor gives topics with equal numbers of partitions out alike: the worker with scorecards[7] has
        # scores[7], too. Faust's own choice without tables is round-robin, which does not.
        self._assignor = RangePartitionAssignor
        return _Member(
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            isolation_level="read_committed",
            auto_offset_reset=conf.consumer_auto_offset_reset,
            enable_auto_commit=False,
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            check_crcs=conf.broker_check_crcs,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            retry_backoff_ms=RETRY_BACKOFF_MS,
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    def heard(self) -> None:
        """The group has just given us our partitions."""
        self._ensure_consumer().heard_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the group was last heard from. From any thread."""
        return time.monotonic() - float(self._ensure_consumer().heard_at)

    async def commit_clean(self, offsets: Mapping[TP, int]) -> None:
        """Commit that no message after these offsets was begun. Best effort: if it fails, they are only in doubt."""
        await self.call_thread(self._commit_clean, dict(offsets))

    async def _commit_clean(self, offsets: dict[TP, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = {TP(tp.topic, tp.partition): tp for tp in consumer.assignment()}
        marked = {
            assigned[tp]: OffsetAndMetadata(at, str(replace(self.mark(tp, at), clean=True)))
            for tp, at in offsets.items()
            if tp in assigned
        }
        if marked:
            with contextlib.suppress(KafkaError):
                await consumer.commit(marked)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit each offset with its mark; False when the partitions belong to another worker by now."""
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        marked = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(at, str(self.mark(TP(*tp), at)))
            for tp, at in offsets.items()
            if tp in assigned
        }
        try:
            await consumer.commit(marked)
        except CommitFailedError as error:
            if "already rebalanced" in str(error):
                return False
            await self.crash(error)
            return False
        except Exception as error:  # Faust ends the process with it
            await self.crash(error)
            return False
        return True

    async def take_over(self) -> dict[TP, Taken]:
        """What the predecessors left in the marks at the committed offsets of the partitions that are ours.

        A partition that was given up in order is marked as clean. This call takes that word away before any message of
        the partition is fetched, and commits an offset where there is none. From now on this worker is the one that may
        die. Messages that a dead one may have processed and not committed lie before the log's present end.
        """
        found: dict[TP, Taken] = await self.call_thread(self._take_over)
        return found

    async def _take_over(self) -> dict[TP, Taken]:
        consumer = self._ensure_consumer()
        assigned = list(consumer.assignment())
        committed = await consumer._coordinator.fetch_committed_offsets(assigned)
        at = {tp: known for tp in assigned if (known := committed.get(tp)) is not None and known.offset >= 0}
        new = [tp for tp in assigned if tp not in at]
        marks = {tp: Mark.of(known.metadata) for tp, known in at.items()}
        opened = {
            tp: OffsetAndMetadata(at[tp].offset, str(replace(mark, clean=False)))
            for tp, mark in marks.items()
            if mark.clean
        }
        if new:
            opened |= {tp: OffsetAndMetadata(o, "") for tp, o in (await consumer.beginning_offsets(new)).items()}
        if opened:
            with contextlib.suppress(CommitFailedError):  # not ours any more: Faust asks again after the rebalance
                await consumer.commit(opened)
        doubtful = [tp for tp, mark in marks.items() if not mark.clean]
        ends = await consumer.end_offsets(doubtful) if doubtful else {}
        return {TP(tp.topic, tp.partition): Taken(at[tp].offset, mark, ends.get(tp)) for tp, mark in marks.items()}

    def highwater(self, tp: TP) -> int:
        """The end of the readable log. Open transactions lie behind it."""
        end = self._ensure_consumer().last_stable_offset(tp)
        return -1 if end is None else int(end)

    def position_now(self, tp: TP) -> int | None:
        """The offset at which aiokafka reads on. It asks no broker. From any thread."""
        assignment = self._assignment_now()
        if assignment is None or tp not in assignment.tps:
            return None
        position: int | None = assignment.state_value(tp)._position
        return position

    def began_at(self, tp: TP) -> int | None:
        """Where the first records were taken since the partition was assigned; None when there were none yet."""
        began = self._began.get(tp)
        return began[1] if began is not None and began[0] is self._assignment_now() else None

    def _assignment_now(self) -> Any:
        subscription = self._ensure_consumer()._subscription.subscription
        return None if subscription is None else subscription.assignment

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, RecordBatch]:
        """Records of the active partitions, after at most `timeout` seconds. A batch may have no records."""
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError()
        subscriptions = fetcher._subscriptions
        with subscriptions.fetch_context():
            if subscriptions.reassignment_in_progress:
                # The records are those of the assignment that ends.
                await asyncio.sleep(POLL_S)
                return {}
            taken = self._take(consumer, active_partitions, max_records or 1)
            if taken or not timeout:
                return taken
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=timeout)
            if not waiter.done():
                waiter.cancel()
                return {}
            waiter.result()  # an error of the group, such as a refused authorization
            if fetcher._closed or subscriptions.reassignment_in_progress or not self.consumer.flow_active:
                return {}
            return self._take(consumer, active_partitions, max_records or 1)

    def _take(self, consumer: AIOKafkaConsumer, active: set[TP], limit: int) -> dict[TP, RecordBatch]:
        fetcher = consumer._fetcher
        generation = consumer._coordinator.generation
        now = time.monotonic()
        taken: dict[TP, RecordBatch] = {}
        size = 0
        for tp in list(fetcher._records):
            if tp not in active:
                if not fetcher._subscriptions.is_assigned(tp):
                    del fetcher._records[tp]
                continue
            result = fetcher._records[tp]
            # an error of this partition: raise it after the records that arrived
            if not isinstance(result, FetchResult):
                if taken:
                    break
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
                result.check_raise()
                continue
            key = TP(tp.topic, tp.partition)
            if (held := self._open.get(key)) is None or held.result is not result:
                held = self._open[key] = _Open(result)
            records: list[Any] = []
            if result.check_assignment(tp):
                start = result._partition_records.next_fetch_offset
                if (began := self._began.get(key)) is None or began[0] is not result._assignment:
                    self._began[key] = (result._assignment, start)
                records = held.take(limit)
                end = result._partition_records.next_fetch_offset
                batch_size = _size(records)
                if end > start:
                    taken[key] = RecordBatch(
                        key, records, start=start, end=end, size=batch_size, generation=generation, fetched_at=now
                    )
                size += batch_size
            if result._partition_records is None or held.empty:
                del self._open[key], fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
            limit -= len(records)
            if limit <= 0 or size >= FETCH_BYTES:
                break
        return taken
