"""The Faust app without a broker: what an agent's error does to the process."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import UsageError
from stream.live.app import LiveApp
from stream.pipeline.late import Newest
from tests.unit.live.batches import batch_of
from tests.unit.live.test_gather import Stream


@pytest.mark.parametrize("ending", [False, True], ids=["in the middle of it", "while the process ends"])
def test_an_agents_error_ends_the_process_and_acknowledges_nothing(ending: bool) -> None:
    # given an agent that fails
    agents: list[Any] = []
    consumer = SimpleNamespace(abandoned=False)
    app: Any = SimpleNamespace(
        agent=lambda *_, **__: agents.append,
        topic=lambda *_, **__: None,
        on_partitions_assigned=SimpleNamespace(connect=lambda _: None),
        newest=Newest(),
        consumer=consumer,
    )
    live = LiveApp(app, max_messages=10, max_age_s=0.0)
    live._stop_began = ending
    error = UsageError("the settings are wrong")

    async def index(_batches: Any, _prepared: Any) -> None:
        raise error

    async def run() -> Stream:
        live.add_agent("scores", index)
        stream = Stream()
        stream.put(batch_of(1, age_s=1))
        agent = asyncio.ensure_future(agents[0](stream))
        while not consumer.abandoned:
            await asyncio.sleep(0.01)
        agent.cancel()
        await asyncio.wait({agent})
        return stream

    stream = asyncio.run(asyncio.wait_for(run(), 10))
    # then no commit waits for its batches, and the exit code is the error's, unless the end had begun without it
    assert stream.acked == []
    assert live._error is (None if ending else error)
