"""Faust over record batches, without a broker: order of delivery, what may be committed, how lists are put together."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.auth import SASLCredentials, SSLCredentials
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from stream.config import BatchSettings, KafkaSettings, Settings
from stream.kafka.offsets import TP, Held, Offsets
from stream.live.app import LiveApp, faust_broker_options
from stream.live.fetch import _Open
from stream.live.gather import ack, take_batches
from stream.live.record_batch import BatchScheduler, RecordBatch
from stream.live.transport import BatchConsumer
from stream.pipeline.dead_letter import Message

SCORES = TP("scores", 3)


# The order of delivery


def test_lists_stay_whole_and_topics_take_turns() -> None:
    # given three partitions of one topic and one of another
    fetched = {TP("a", 0): [1, 2], TP("a", 1): [3], TP("a", 2): [4], TP("b", 0): [5, 6]}
    # then each list is delivered once, and `b` does not wait for all of `a`
    delivered = list(BatchScheduler().iterate(fetched))
    assert dict(delivered) == fetched
    assert [tp.topic for tp, _ in delivered] == ["a", "b", "a", "a"]


# What may be committed


def fetch(offsets: Offsets, start: int, end: int, *, last: int | None = None, messages: int = 1, size: int = 0) -> int:
    last = end - 1 if last is None else last
    offsets.fetched(SCORES, start=start, end=end, last=last, messages=messages, size=size)
    return last


def test_nothing_is_committed_before_anything_is_done() -> None:
    offsets = Offsets()
    assert offsets.safe(SCORES) is None
    fetch(offsets, 100, 200)
    assert offsets.safe(SCORES) is None


def test_the_commit_waits_for_the_first_that_is_not_done() -> None:
    # given three stretches
    offsets = Offsets()
    first, second, third = fetch(offsets, 100, 200), fetch(offsets, 200, 250), fetch(offsets, 250, 260)
    # when they are done out of order
    offsets.done(SCORES, second)
    assert offsets.safe(SCORES) is None
    offsets.done(SCORES, first)
    # then the commit never passes what is not done
    assert offsets.safe(SCORES) == 250
    offsets.done(SCORES, third)
    assert offsets.safe(SCORES) == 260


def test_the_commit_passes_control_records() -> None:
    # given messages up to 110, then a transaction's marker, then a stretch without any message
    offsets = Offsets()
    last = fetch(offsets, 100, 112, last=110)
    offsets.fetched(SCORES, start=112, end=115, last=None)
    # when the messages are done
    offsets.done(SCORES, last)
    # then the commit is at the end of it all
    assert offsets.safe(SCORES) == 115


def test_stretches_without_messages_are_committed_by_themselves() -> None:
    offsets = Offsets()
    offsets.fetched(SCORES, start=0, end=4, last=None)
    assert offsets.safe(SCORES) == 4


def test_what_is_done_twice_or_forgotten_counts_for_nothing() -> None:
    # given a stretch that was done, and a partition that was taken away
    offsets = Offsets()
    last = fetch(offsets, 0, 10, messages=10, size=70)
    other = TP("scores", 4)
    offsets.fetched(other, start=0, end=5, last=4, messages=5, size=30)
    assert offsets.done(SCORES, last)
    offsets.forget([other])
    # then another word of either changes nothing
    assert not offsets.done(SCORES, last)
    assert not offsets.done(other, 4)
    assert offsets.safe(SCORES) == 10
    assert offsets.safe(other) is None
    assert offsets.held("scores") == Held(0, 0)


def test_a_partition_is_settled_when_nothing_of_it_is_under_way() -> None:
    # given a partition of which nothing was fetched, then a stretch and one without messages behind it
    offsets = Offsets()
    assert offsets.settled(SCORES) is None
    last = fetch(offsets, 100, 112, last=110)
    offsets.fetched(SCORES, start=112, end=115, last=None)
    # then it is settled when that is done, at the end of all
    assert offsets.settled(SCORES) is None
    offsets.done(SCORES, last)
    assert offsets.settled(SCORES) == 115
    # and not when it is not ours any more
    offsets.forget([SCORES])
    assert offsets.settled(SCORES) is None


def test_after_a_step_back_the_commit_steps_back_too() -> None:
    # given two stretches, fetched again with other bounds before the second is done
    offsets = Offsets()
    first, second = fetch(offsets, 0, 10, messages=10), fetch(offsets, 10, 20, messages=10)
    offsets.done(SCORES, first)
    again = fetch(offsets, 0, 20, messages=20)
    assert again == second
    # then nothing is safe until that is done as well
    assert offsets.safe(SCORES) is None
    offsets.done(SCORES, again)
    assert offsets.safe(SCORES) == 20
    assert offsets.held("scores") == Held(0, 0)


@given(st.data())
def test_the_commit_never_passes_an_undone_message(data: st.DataObject) -> None:
    # given any stretches, with holes, done in any order
    offsets = Offsets()
    position, undone = 0, {}
    for _ in range(data.draw(st.integers(1, 12))):
        start, length, hole = position, data.draw(st.integers(1, 5)), data.draw(st.integers(0, 3))
        position = start + length + hole
        offsets.fetched(SCORES, start=start, end=position, last=start + length - 1, messages=length)
        undone[start + length - 1] = start
    order = data.draw(st.permutations(sorted(undone)))
    for last in order:
        assert offsets.done(SCORES, last)
        del undone[last]
        safe = offsets.safe(SCORES) or 0
        # then the offset to commit is the start of the first that is not done, or the end
        assert safe == min(undone.values(), default=position)
    assert offsets.held("scores").messages == 0


# Taking records out of what aiokafka fetched


def kafka_batch(
    offset: int, count: int, *, producer: int = -1, transactional: bool = False, control: bytes | None = None
) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=int(transactional),
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=1 << 20,
    )
    for index in range(count):
        key = control if control is not None else b"k%d" % (offset + index)
        assert builder.append(index, 1_000 + index, key, b"v%d" % (offset + index), [("h", b"x")]) is not None
    raw = bytearray(builder.build())
    raw[0:8] = offset.to_bytes(8, "big")  # outside the CRC, as is the partition leader's epoch
    if control is not None:
        attributes = int.from_bytes(raw[21:23], "big") | 0x20
        raw[21:23] = attributes.to_bytes(2, "big")
    return bytes(raw)


def fetched(
    raw: bytes, *, position: int = 0, aborted: Sequence[tuple[int, int]] = (), crcs: bool = False
) -> FetchResult:
    tp = TopicPartition("scores", 3)
    state = SimpleNamespace(position=position, paused=False)
    state.consumed_to = lambda to: setattr(state, "position", to)
    assignment = SimpleNamespace(active=True, state_value=lambda _tp: state)
    records = PartitionRecords(tp, MemoryRecords(raw), list(aborted), position, None, None, crcs, READ_COMMITTED)
    return FetchResult(tp, assignment=assignment, partition_records=records, backoff=0)


ABORT, COMMIT = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"


def test_a_limit_cuts_a_kafka_batch_and_the_position_follows() -> None:
    # given two Kafka batches of five, read from the second message on
    result = fetched(kafka_batch(10, 5) + kafka_batch(15, 5), position=11)
    held = _Open(result)
    # when four are taken, then the rest
    four = held.take(4)
    position = result._partition_records.next_fetch_offset
    assert result.check_assignment(TopicPartition("scores", 3))
    rest = held.take(100)
    # then nothing is missing, and the position is always that of the next message
    assert [record.offset for record in four] == [11, 12, 13, 14]
    assert position == 15
    assert [record.offset for record in rest] == [15, 16, 17, 18, 19]
    assert held.empty
    assert rest[0].key == b"k15"
    assert rest[0].value == b"v15"
    assert list(rest[0].headers) == [("h", b"x")]


def test_a_wrong_checksum_is_an_error() -> None:
    raw = bytearray(kafka_batch(0, 3))
    raw[-1] ^= 1
    with pytest.raises(Exception, match="wrong CRC"):
        _Open(fetched(bytes(raw), crcs=True)).take(10)


@given(st.integers(0, 2**32))
def test_it_takes_what_aiokafka_itself_would(seed: int) -> None:
    # given any mix of plain messages, transactions and their markers, read from somewhere in the first Kafka batch
    rnd = random.Random(seed)
    raw, offset, aborted, position = b"", 0, [], -1
    for _ in range(rnd.randint(1, 8)):
        count, kind = rnd.randint(1, 6), rnd.choice(["plain", "committed", "aborted"])
        raw += kafka_batch(offset, count, producer=-1 if kind == "plain" else 7, transactional=kind != "plain")
        if position < 0:
            position = rnd.randrange(count)
        if kind == "aborted":
            aborted.append((7, offset))
        offset += count + rnd.randint(0, 2)  # a hole, as compaction leaves it
        if kind != "plain":
            marker = ABORT if kind == "aborted" else COMMIT
            raw += kafka_batch(offset, 1, producer=7, transactional=True, control=marker)
            offset += 1
    # when it is taken in pieces, and by aiokafka at once
    ours, held = [], _Open(mine := fetched(raw, position=position, aborted=aborted))
    while not held.empty:
        ours += held.take(rnd.randint(1, 7))
    theirs = (other := fetched(raw, position=position, aborted=aborted)).getall()
    # then the messages are the same, and so is the position
    assert [(r.offset, r.key, r.value, r.timestamp) for r in ours] == [
        (r.offset, r.key, r.value, r.timestamp) for r in theirs
    ]
    assert mine._assignment.state_value(None).position == other._assignment.state_value(None).position


# A batch


def record(offset: int, value: bytes | None = b"v", key: bytes | None = b"k") -> SimpleNamespace:
    return SimpleNamespace(
        offset=offset, value=value, key=key, timestamp=1_700, timestamp_type=0, headers=[("h", b"1"), ("n", None)]
    )


def batch_of(count: int, *, start: int = 0, tp: TP = SCORES, age_s: float = 0.0, size: int = 0) -> RecordBatch:
    records = [record(start + index) for index in range(count)]
    return RecordBatch(
        tp, records, start=start, end=start + count, size=size, generation=1, fetched_at=time.monotonic() - age_s
    )


def test_a_batch_gives_its_messages_whole() -> None:
    batch = batch_of(3, start=7)
    assert (batch.topic, batch.partition, len(batch)) == ("scores", 3, 3)
    assert (batch.first_offset, batch.last_offset) == (7, 9)
    assert batch.values == [b"v"] * 3
    assert batch.keys == [b"k"] * 3
    assert batch.message(1) == Message("scores", 3, 8, 1_700, b"k", b"v", (("h", b"1"), ("n", None)))


# How lists are put together


class Stream:
    """As much of Faust's stream as `take_batches` needs: a queue, values, and the event of the last value."""

    def __init__(self) -> None:
        self.channel = SimpleNamespace(queue=asyncio.Queue())
        self.current_event: Any = None
        self.enable_acks = True
        self.acked: list[RecordBatch] = []

    def put(self, *batches: RecordBatch) -> None:
        for batch in batches:
            self.channel.queue.put_nowait(SimpleNamespace(value=batch))

    def close(self) -> None:
        self.channel.queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[RecordBatch]:
        while (event := await self.channel.queue.get()) is not None:
            await asyncio.sleep(0)
            self.current_event = event
            yield event.value

    async def ack(self, event: Any) -> None:
        self.acked.append(event.value)


def taken(
    prepare: Callable[[Stream], None], *, max_messages: int = 10, max_age_s: float = 0.0, max_bytes: int = 1_000
) -> list[list[int]]:
    """The sizes of the batches in each list."""

    async def run() -> list[list[int]]:
        stream = Stream()
        prepare(stream)
        stream.close()
        lists = take_batches(stream, max_messages=max_messages, max_age_s=max_age_s, max_bytes=max_bytes)
        found = [[len(event.value) for event in events] async for events in lists]
        assert stream.enable_acks is False
        assert stream.acked == []
        return found

    return asyncio.run(run())


def test_what_is_there_is_taken_together_up_to_the_limit() -> None:
    assert taken(lambda stream: stream.put(*[batch_of(4) for _ in range(5)])) == [[4, 4], [4, 4], [4]]
    assert taken(lambda stream: stream.put(batch_of(4), batch_of(6), batch_of(1))) == [[4, 6], [1]]


def test_a_batch_above_the_limit_comes_alone() -> None:
    assert taken(lambda stream: stream.put(batch_of(1), batch_of(25), batch_of(1))) == [[1], [25], [1]]


def test_bytes_limit_a_list_too() -> None:
    assert taken(lambda stream: stream.put(*[batch_of(1, size=600) for _ in range(3)])) == [[1, 1], [1]]


def test_a_lone_message_waits_no_longer_than_its_age_allows() -> None:
    async def run() -> tuple[float, float]:
        stream = Stream()
        lists = take_batches(stream, max_messages=10, max_age_s=0.4)
        # given one that was just fetched, and one that was fetched long ago
        began = time.monotonic()
        stream.put(batch_of(1))
        await anext(lists)
        fresh = time.monotonic() - began
        began = time.monotonic()
        stream.put(batch_of(1, age_s=1.0))
        await anext(lists)
        old = time.monotonic() - began
        await lists.aclose()  # type: ignore[attr-defined]
        return fresh, old

    fresh, old = asyncio.run(run())
    # then the first waits for others, and the second for nothing
    assert fresh > 0.3
    assert old < 0.3


def test_one_that_comes_in_time_is_taken_along_and_one_that_comes_late_is_not_lost() -> None:
    async def run() -> list[list[int]]:
        stream = Stream()
        lists = take_batches(stream, max_messages=10, max_age_s=0.2)
        stream.put(batch_of(1))
        asyncio.get_running_loop().call_later(0.02, stream.put, batch_of(2, age_s=0))
        first = await anext(lists)
        waits = asyncio.ensure_future(anext(lists))
        stream.put(batch_of(3, age_s=1))
        second = await waits
        await lists.aclose()  # type: ignore[attr-defined]
        return [[len(event.value) for event in events] for events in (first, second)]

    assert asyncio.run(run()) == [[1, 2], [3]]


def test_while_the_list_before_is_under_way_only_a_full_one_is_taken() -> None:
    async def run() -> list[list[int]]:
        stream = Stream()
        before: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        lists = take_batches(
            stream, max_messages=10, max_age_s=0, busy=lambda: None if before is None or before.done() else before
        )
        # given a list under way, and one that is not full
        stream.put(batch_of(4, age_s=1))
        waits = asyncio.ensure_future(anext(lists))
        assert not (await asyncio.wait({waits}, timeout=0.1))[0]
        # when it is full, it is taken at once
        stream.put(batch_of(6, age_s=1), batch_of(3, age_s=1))
        first = await waits
        # and the rest when the list before is done
        waits = asyncio.ensure_future(anext(lists))
        assert not (await asyncio.wait({waits}, timeout=0.1))[0]
        assert before is not None
        before.set_result(None)
        second = await waits
        await lists.aclose()  # type: ignore[attr-defined]
        return [[len(event.value) for event in events] for events in (first, second)]

    assert asyncio.run(run()) == [[4, 6], [3]]


def test_a_full_list_is_prepared_while_the_one_before_is_indexed_and_acknowledged_in_order() -> None:
    async def run() -> list[str]:
        told: list[str] = []
        first_may_end = asyncio.Event()

        async def prepare(batches: Sequence[RecordBatch]) -> int:
            told.append(f"prepare {len(batches)}")
            first_may_end.set()
            return len(batches)

        async def index(batches: Sequence[RecordBatch], prepared: int | None) -> None:
            told.append(f"index {len(batches)} {prepared}")
            await first_may_end.wait()  # which never comes unless the next list is prepared meanwhile
            told.append(f"indexed {len(batches)}")

        agents: list[Any] = []
        app = SimpleNamespace(
            agent=lambda *_, **__: agents.append,
            topic=lambda *_, **__: None,
            on_partitions_assigned=SimpleNamespace(connect=lambda _: None),
        )
        live = LiveApp(app, Settings(batch=BatchSettings(max_messages=10)))
        live.add_agent("scores", index, prepare=prepare)
        stream = Stream()
        stream.put(batch_of(10, age_s=1), batch_of(5, age_s=1), batch_of(5, age_s=1))
        stream.close()
        await asyncio.wait_for(agents[0](stream), 10)
        assert [len(batch) for batch in stream.acked] == [10, 5, 5]
        return told

    assert asyncio.run(run()) == ["index 1 None", "prepare 2", "indexed 1", "index 2 2", "indexed 2"]


def test_acknowledging_is_left_to_the_caller() -> None:
    async def run() -> list[RecordBatch]:
        stream = Stream()
        stream.put(one := batch_of(1), two := batch_of(2))
        stream.close()
        async for events in take_batches(stream, max_messages=10, max_age_s=0):
            assert stream.acked == []
            await ack(stream, events)
        assert stream.acked == [one, two]
        return stream.acked

    asyncio.run(run())


# The last commit


def test_the_last_commit_is_not_swallowed_by_one_that_is_under_way() -> None:
    async def run() -> list[int | None]:
        # given a consumer that is committing 5, while the batch up to 10 was just acknowledged
        consumer: Any = object.__new__(BatchConsumer)
        consumer.abandoned, consumer._unacked_messages = False, set()
        consumer.offsets = Offsets()
        done = [fetch(consumer.offsets, 0, 5), fetch(consumer.offsets, 5, 10)]
        consumer.offsets.done(SCORES, done[0])
        committed: list[int | None] = []
        answers = asyncio.get_running_loop().create_future()

        async def force_commit(*_args: Any, **_options: Any) -> bool:
            committed.append(consumer.offsets.safe(SCORES))
            if len(committed) == 1:
                await answers
            return True

        async def commit_clean(offsets: dict[TP, int]) -> None:
            clean.append(offsets)

        clean: list[dict[TP, int]] = []
        consumer._thread, consumer._doubt = SimpleNamespace(commit_clean=commit_clean), {}
        consumer.force_commit, consumer.loop = force_commit, asyncio.get_running_loop()
        consumer.app = SimpleNamespace(client_only=False)
        under_way = asyncio.ensure_future(consumer.commit())
        await asyncio.sleep(0)
        consumer.offsets.done(SCORES, done[1])
        # when it waits for what is under way, before it gives the partition up
        emptied = asyncio.ensure_future(consumer.wait_empty())
        await asyncio.sleep(0)
        answers.set_result(None)
        await asyncio.gather(under_way, emptied)
        # then the partition is also marked as given up in order
        assert clean == [{SCORES: 10}]
        return committed

    # then 10 is committed too
    assert asyncio.run(run()) == [5, 10]


def test_doubt_ends_with_what_a_worker_can_have_under_way() -> None:
    # given a partition whose owner died, up to offset 1,000 at most and with 20 messages at most
    consumer: Any = object.__new__(BatchConsumer)
    consumer._doubt = {SCORES: (1_000, 20)}
    # then as many are in doubt, whatever their offsets are, and nothing of other partitions
    found = [consumer._in_doubt(SCORES, batch_of(15, start=start)) for start in (100, 500, 900)]
    assert found == [True, True, False]
    assert not consumer._in_doubt(TP("other", 0), batch_of(15))
    # and nothing behind the end
    consumer._doubt = {SCORES: (1_000, 20)}
    assert not consumer._in_doubt(SCORES, batch_of(15, start=1_000))


# The way to the brokers


def test_hosts_become_urls() -> None:
    options = faust_broker_options(KafkaSettings(bootstrap_servers="a:1, b:2"))
    assert options == {
        "broker_consumer": ["batches://a:1", "batches://b:2"],
        "broker_producer": ["kafka://a:1", "kafka://b:2"],
    }


def test_tls_and_sasl() -> None:
    # given TLS alone
    credentials = faust_broker_options(KafkaSettings(security_protocol="SSL"))["broker_credentials"]
    assert isinstance(credentials, SSLCredentials)
    assert credentials.context.verify_mode == ssl.CERT_REQUIRED
    # and SASL with and without TLS
    for protocol in ("SASL_SSL", "SASL_PLAINTEXT"):
        settings = KafkaSettings(
            security_protocol=protocol,
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="worker",
            sasl_password=SecretStr("secret"),
        )
        credentials = faust_broker_options(settings)["broker_credentials"]
        assert isinstance(credentials, SASLCredentials)
        assert (credentials.protocol.value, credentials.mechanism.value) == (protocol, "SCRAM-SHA-512")
        assert (credentials.username, credentials.password) == ("worker", "secret")
