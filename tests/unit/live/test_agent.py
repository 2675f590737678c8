"""One topic's agent without a broker: a list is prepared while another is indexed; some batches are held."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import pytest

from stream.live.agent import BatchAgent
from stream.live.held import HeldBatches
from stream.live.record_batch import RecordBatch
from tests.unit.live.batches import batch_of
from tests.unit.live.test_gather import Stream


async def raised(error: Exception) -> NoReturn:
    raise error


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

        stream = Stream()
        stream.put(batch_of(10, age_s=1), batch_of(5, age_s=1), batch_of(5, age_s=1))
        stream.close()
        agent = BatchAgent(stream, index, prepare=prepare, leave_aside=pytest.fail, failed=raised)
        await asyncio.wait_for(agent.run(max_messages=10, max_age_s=0), 10)
        assert [len(batch) for batch in stream.acked] == [10, 5, 5]
        return told

    assert asyncio.run(run()) == ["index 1 None", "prepare 2", "indexed 1", "index 2 2", "indexed 2"]


def held_first(*, is_done: bool) -> tuple[list[RecordBatch], list[RecordBatch], list[RecordBatch]]:
    """Lists of batches (4 and 6 messages, then 10) through an agent that holds the one with 4 until the end.

    Returns:
        What was acknowledged when the second list came, what at the end, and what the consumer left aside.
    """

    async def run() -> tuple[list[RecordBatch], list[RecordBatch], list[RecordBatch]]:
        done = asyncio.get_running_loop().create_future()
        before: list[RecordBatch] = []
        left: list[RecordBatch] = []
        lists = 0
        stream = Stream()

        async def index(batches: Sequence[RecordBatch], _prepared: None) -> HeldBatches | None:
            nonlocal lists
            lists += 1
            if lists == 1:
                return HeldBatches([batches[0]], done)
            before.extend(stream.acked)
            done.set_result(is_done)
            return None

        agent = BatchAgent(stream, index, prepare=None, leave_aside=left.append, failed=raised)
        stream.put(batch_of(4, age_s=1), batch_of(6, age_s=1), batch_of(10, age_s=1))
        runs = asyncio.ensure_future(agent.run(max_messages=10, max_age_s=0))
        while len(stream.acked) < 2 + is_done:
            await asyncio.sleep(0.01)
        stream.close()
        await asyncio.wait_for(runs, 10)
        return before, stream.acked, left

    return asyncio.run(asyncio.wait_for(run(), 10))


def test_batches_that_are_held_are_acknowledged_when_their_work_is_done_beside_those_that_follow() -> None:
    before, after, left = held_first(is_done=True)
    assert [len(batch) for batch in before] == [6], "the first of the two batches is held, the other is not"
    assert sorted(len(batch) for batch in after) == [4, 6, 10]
    assert [len(batch) for batch in left] == [4]


def test_batches_whose_work_was_given_up_are_not_acknowledged() -> None:
    _, after, left = held_first(is_done=False)
    assert [len(batch) for batch in after] == [6, 10]
    assert [len(batch) for batch in left] == [4]


@pytest.mark.parametrize("fails", ["prepare", "index", "the work that is held"])
def test_an_error_is_told_and_nothing_more_is_acknowledged(fails: str) -> None:
    async def run() -> tuple[list[str], list[int]]:
        told: list[str] = []
        stream = Stream()
        may_end = asyncio.Event()

        async def fail(name: str) -> bool:
            if fails == name:
                raise ValueError(name)
            return True

        async def prepare(_batches: Sequence[RecordBatch]) -> None:
            may_end.set()
            await fail("prepare")

        async def index(batches: Sequence[RecordBatch], _prepared: None) -> HeldBatches | None:
            if not stream.acked:  # the first list ends when the next is prepared
                await may_end.wait()
            await fail("index")
            return HeldBatches(batches, asyncio.ensure_future(fail("the work that is held")))

        async def failed(error: Exception) -> NoReturn:
            told.append(str(error))
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        stream.put(batch_of(10, age_s=1), batch_of(11, age_s=1))
        agent = BatchAgent(stream, index, prepare=prepare, leave_aside=lambda _: None, failed=failed)
        runs = asyncio.ensure_future(agent.run(max_messages=10, max_age_s=0))
        while not told:
            await asyncio.sleep(0.01)
        runs.cancel()
        await asyncio.wait({runs})
        return told, [len(batch) for batch in stream.acked]

    told, acked = asyncio.run(asyncio.wait_for(run(), 10))
    assert set(told) == {fails}
    assert set(acked) <= ({10} if fails == "prepare" else set())
