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
    queue = stream.channel.queue
    values = aiter(stream)

    async def following() -> Any:
        # The task is not cancelled when time is up, for that would end the stream. The next list takes its result.
        return None if await anext(values, None) is None else stream.current_event

    pending: asyncio.Task[Any] | None = None
    kept: Any = None
    try:
        while True:
            event, kept = kept, None
            if event is None:
                event = await (pending or following())
                pending = None
            if event is None:
                return
            events = [event]
            messages, size = len(event.value), event.value.size
            deadline = event.value.fetched_at + max_age_s
            while messages < max_messages and size < max_bytes:
                pending = pending or asyncio.ensure_future(following())
                if not pending.done():
                    left = deadline - time.monotonic()
                    before = busy()
                    if left <= 0 and queue.empty() and before is None:
                        break
                    # Queued events arrive at once, unless a rebalance takes them away.
                    await asyncio.wait(
                        {pending} if before is None else {pending, before},
                        timeout=1.0 if before is not None or not queue.empty() else left,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    continue
                event, pending = pending.result(), None
                if event is None:
                    break
                if messages + len(event.value) > max_messages:
                    kept = event
                    break
                events.append(event)
                messages += len(event.value)
                size += event.value.size
            yield events
    finally:
        if pending is not None:
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pending


async def ack(stream: Any, events: Sequence[Any]) -> None:
    """Acknowledge these events: their offsets may be committed."""
    for event in events:
        await stream.ack(event)
