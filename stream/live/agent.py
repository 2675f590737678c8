"""One topic's agent: lists of batches, processed one after another; the next is prepared meanwhile.

    take_batches --> prepare, while the list before is under way --> index --> acknowledge
                                                                       \\-> held: acknowledged after their further work

Enters: Faust's stream of one topic. Leaves: acknowledgements. An error goes to `failed`, and nothing is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from stream.live.gather import ack, take_batches
from stream.live.held import HeldBatches
from stream.live.record_batch import RecordBatch

# The batches, and what was prepared of them or None; returns those that may not be acknowledged yet.
Index = Callable[[Sequence[RecordBatch], Any], Awaitable[HeldBatches | None]]
Prepare = Callable[[Sequence[RecordBatch]], Awaitable[Any]]


class BatchAgent:
    """Processes one stream, until it ends or is cancelled.

    Args:
        stream: Faust's, of record batches.
        prepare: called with a full list while the one before is being indexed; its result goes to `index`.
        leave_aside: told of each message that is processed and will be acknowledged later.
        failed: awaited with an error of `index` or `prepare`; never returns.
    """

    def __init__(
        self,
        stream: Any,
        index: Index,
        *,
        prepare: Prepare | None,
        leave_aside: Callable[[Any], None],
        failed: Callable[[Exception], Awaitable[NoReturn]],
    ) -> None:
        self._stream = stream
        self._index = index
        self._prepare = prepare
        self._leave_aside = leave_aside
        self._failed = failed
        self._under_way: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()

    async def run(self, *, max_messages: int, max_age_s: float) -> None:
        """Process lists as `take_batches` closes them."""
        lists = take_batches(self._stream, max_messages=max_messages, max_age_s=max_age_s, busy=self._busy)
        try:
            async for events in lists:
                prepared = await self._prepare_beside([event.value for event in events])
                if self._under_way is not None:
                    await self._under_way
                self._under_way = asyncio.ensure_future(self._work(events, prepared))
            if self._under_way is not None:
                await self._under_way
        finally:
            for task in (*self._beside, *(() if self._under_way is None else (self._under_way,))):
                task.cancel()

    def _busy(self) -> asyncio.Task[None] | None:
        return self._under_way if self._under_way is not None and not self._under_way.done() else None

    async def _prepare_beside(self, batches: Sequence[RecordBatch]) -> Any:
        """Prepare a list while the one before is under way; None when none is, for `index` does it then."""
        if self._prepare is None or not self._busy():
            return None
        try:
            return await self._prepare(batches)
        except Exception as error:
            await self._failed(error)

    async def _work(self, events: Sequence[Any], prepared: Any) -> None:
        try:
            held = await self._index([event.value for event in events], prepared)
            await ack(self._stream, [each for each in events if held is None or not held.holds(each.value)])
        except Exception as error:
            await self._failed(error)
        if held is not None:
            later = [event for event in events if held.holds(event.value)]
            for event in later:
                self._leave_aside(event.message)
            task = asyncio.ensure_future(self._finish(held, later))
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

    async def _finish(self, held: HeldBatches, events: Sequence[Any]) -> None:
        try:
            if await held.work:
                await ack(self._stream, events)
        except Exception as error:
            await self._failed(error)
