"""How lists of record batches are put together, without a broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from stream.live.gather import ack, take_batches
from stream.live.record_batch import RecordBatch
from tests.unit.live.batches import batch_of


class Stream:
    """The part of Faust's stream that `take_batches` needs: a queue, values, and the event of the last value."""

    def __init__(self) -> None:
        self.channel = SimpleNamespace(queue=asyncio.Queue())
        self.current_event: Any = None
        self.enable_acks = True
        self.acked: list[RecordBatch] = []

    def put(self, *batches: RecordBatch) -> None:
        for batch in batches:
            self.channel.queue.put_nowait(SimpleNamespace(value=batch, message=batch))

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
