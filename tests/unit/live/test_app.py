"""The Faust app without a broker: one list prepared while another is indexed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from stream.live.app import LiveApp
from stream.live.record_batch import RecordBatch
from stream.settings_sections import BatchSettings
from tests.unit.live.batches import batch_of
from tests.unit.live.test_gather import Stream


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
        live = LiveApp(app, max_messages=10, max_age_s=BatchSettings().max_age_s)
        live.add_agent("scores", index, prepare=prepare)
        stream = Stream()
        stream.put(batch_of(10, age_s=1), batch_of(5, age_s=1), batch_of(5, age_s=1))
        stream.close()
        await asyncio.wait_for(agents[0](stream), 10)
        assert [len(batch) for batch in stream.acked] == [10, 5, 5]
        return told

    assert asyncio.run(run()) == ["index 1 None", "prepare 2", "indexed 1", "index 2 2", "indexed 2"]
