"""Record batches of one agent's stream, gathered until they are full or old enough, and their acknowledgement."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from stream.live.fetch import FETCH_BYTES


async def take_batches(
    stream: Any,
    *,
    max_messages: int,
    max_age_s: float,
    max_bytes: int = 2 * FETCH_BYTES,
    busy: Callable[[], asyncio.Future[None] | None] = lambda: None,
) -> AsyncIterator[list[Any]]:
    """Faust events, each with a RecordBatch, to be processed together. None is acknowledged.

    It yields when they hold `max_messages` messages or `max_bytes`. It also yields when the first was fetched
    `max_age_s` ago and no other is there. A list exceeds `max_messages` only when one event alone does.

    Args:
        busy: the awaitable that ends with the work on the list before, or None. Until then only a full list is yielded.
    """
    stream.enable_acks = False
    following = _Following(stream)
    try:
        while (first := await following.take()) is not None:
            yield await _gather(first, following, max_messages, max_age_s, max_bytes, busy)
    finally:
        await following.close()


async def _gather(
    first: Any,
    following: _Following,
    max_messages: int,
    max_age_s: float,
    max_bytes: int,
    busy: Callable[[], asyncio.Future[None] | None],
) -> list[Any]:
    """The list that begins with this event."""
    events = [first]
    messages, size = len(first.value), first.value.size
    deadline = first.value.fetched_at + max_age_s
    while messages < max_messages and size < max_bytes:
        if not following.is_there():
            before = busy()
            left = deadline - time.monotonic()
            if left <= 0 and before is None and not following.is_queued():
                break
            # Queued events arrive at once, unless a rebalance takes them away.
            await following.wait(1.0 if before is not None or following.is_queued() else left, before)
            continue
        event = await following.take()
        if event is None:
            break
        if messages + len(event.value) > max_messages:
            following.put_back(event)
            break
        events.append(event)
        messages += len(event.value)
        size += event.value.size
    return events


class _Following:
    """The event that follows in a stream, asked for once.

    A wait for it may end before it comes. The task that asks is not cancelled then, for that would end the stream. The
    next wait takes its result.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._values = aiter(stream)
        self._asked: asyncio.Task[Any] | None = None
        self._kept: Any = None

    async def take(self) -> Any:
        """The event; None at the end of the stream."""
        if self._kept is not None:
            event, self._kept = self._kept, None
            return event
        event = await self._ask()
        self._asked = None
        return event

    def put_back(self, event: Any) -> None:
        """Let the next `take` return it."""
        self._kept = event

    def is_there(self) -> bool:
        """Whether `take` would return at once."""
        return self._ask().done()

    def is_queued(self) -> bool:
        """Whether the stream has one that it will hand over at once."""
        return not self._stream.channel.queue.empty()

    async def wait(self, timeout_s: float, before: asyncio.Future[None] | None) -> None:
        """Return when the event is there, when `before` is done, or when time is up."""
        awaited = {self._ask()} if before is None else {self._ask(), before}
        await asyncio.wait(awaited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        if self._asked is not None:
            self._asked.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asked

    def _ask(self) -> asyncio.Future[Any]:
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._next())
        return self._asked

    async def _next(self) -> Any:
        return None if await anext(self._values, None) is None else self._stream.current_event


async def ack(stream: Any, events: Sequence[Any]) -> None:
    """Acknowledge these events: their offsets may be committed."""
    for event in events:
        await stream.ack(event)
