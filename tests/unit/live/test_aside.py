"""The thread of large reindexes: one after another, told as progress, and given up when another one does the work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from stream import metrics
from stream.errors import Refused
from stream.kafka.topic_partition import TP
from stream.live.aside import Beside
from stream.live.record_batch import RecordBatch
from stream.pipeline.aside import Aside
from stream.pipeline.dead_letter import DeadLetter, Message
from stream.pipeline.ledger import Counts
from tests.unit.live.batches import batch_of

CARDS, CHATS = TP("p.app.scorecards", 0), TP("p.app.chats", 0)


class Clients:
    """Hands out a settler that takes three steps for each scorecard."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.letters: list[Any] = []
        self.dead_letters = SimpleNamespace(send=lambda letters: self.steps.append(f"{len(letters)} letters"))
        self.before: Callable[[], object] = lambda: None
        self.closed = False

    def retry(self, step: Callable[[], Any]) -> Any:
        return step()

    def settler(self, *, retry: Callable[[Callable[[], Any]], Any]) -> Any:
        def finish(aside: Aside, counts: Counts, *, still_mine: Callable[[], bool]) -> list[str]:
            for scorecard_id in aside.versions:
                for number in range(3):
                    self.before()
                    retry(lambda told=f"{scorecard_id}{number}": self.steps.append(told))  # type: ignore[misc]
            counts.rows += 3 if still_mine() else 0
            return self.letters

        return SimpleNamespace(finish=finish)

    def close(self) -> None:
        self.closed = True


class Bench:
    """The thread, and a group of consumers whose generation may change."""

    def __init__(self) -> None:
        self.clients, self.stopping, self.generation = Clients(), threading.Event(), 1
        live = SimpleNamespace(still_ours=lambda _: True, is_void=lambda batch: batch.generation != self.generation)
        self.beside = Beside(live, self.clients, stopping=self.stopping)  # type: ignore[arg-type]

    def batches(self, tp: TP = CARDS) -> list[RecordBatch]:
        (batch,) = [batch_of(1, tp=tp)]
        batch.generation = self.generation
        return [batch]

    def finish(self, *scorecards: str, tp: TP = CARDS) -> asyncio.Task[bool]:
        asked = self.beside.finish(self.batches(tp), Aside(dict.fromkeys(scorecards, 1)))
        return asyncio.ensure_future(asked)

    @staticmethod
    def waiting(tp: TP = CARDS) -> float:
        return metrics.ASIDE.labels(tp.topic)._value.get()  # type: ignore[no-any-return]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.beside.close()
    assert bench.clients.closed


def test_reindexes_go_one_after_another_and_are_told_as_progress_and_in_the_metrics(bench: Bench) -> None:
    both = threading.Event()
    bench.clients.before = lambda: both.wait(10)

    async def run() -> None:
        first, second = bench.finish("a", "b"), bench.finish("c", tp=CHATS)
        await asyncio.sleep(0)
        assert (bench.waiting(), bench.waiting(CHATS)) == (2, 1)
        both.set()
        assert await second
        assert await first

    asyncio.run(run())
    assert bench.clients.steps == ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]
    # and what waits for its turn makes progress with the work before it
    assert bench.beside.tries(CARDS.topic) >= 6
    assert [bench.beside.tries(topic) for topic in (CHATS.topic, "p.app.scores")] == [9, 0]
    assert (bench.waiting(), bench.waiting(CHATS)) == (0, 0)


def test_a_worker_that_ends_gives_up_at_the_next_step_and_acknowledges_nothing(bench: Bench) -> None:
    bench.clients.before = lambda: bench.stopping.set() if len(bench.clients.steps) == 2 else None

    async def run() -> list[bool]:
        return list(await asyncio.gather(bench.finish("a"), bench.finish("b")))

    assert asyncio.run(run()) == [False, False]
    assert bench.clients.steps == ["a0", "a1"]


@pytest.mark.parametrize(
    ("again", "steps"),
    [
        (("a", "b"), ["a0", "a0", "a1", "a2", "b0", "b1", "b2"]),
        (("b",), ["a0", "a1", "a2", "b0", "b1", "b2"]),
    ],
    ids=["the same messages", "others"],
)
def test_messages_that_come_again_after_a_rebalance_supersede_the_work_of_before(
    bench: Bench, again: tuple[str, ...], steps: list[str]
) -> None:
    # given a reindex under way
    begun, go_on = threading.Event(), threading.Event()

    def before() -> None:
        if bench.clients.steps == ["a0"]:
            begun.set()
            assert go_on.wait(10)

    async def run() -> list[bool]:
        first = bench.finish("a")
        await asyncio.to_thread(begun.wait, 10)
        # when the group has another generation, and messages come again
        bench.generation = 2
        second = bench.finish(*again)
        await asyncio.sleep(0)
        go_on.set()
        return [await first, await second]

    bench.clients.before = before
    # then the same ones supersede what would acknowledge nothing, and others do not
    assert asyncio.run(run()) == [again == ("b",), True]
    assert bench.clients.steps == steps


def test_work_that_waited_through_a_rebalance_does_not_begin(bench: Bench) -> None:
    # given a reindex under way, and one that waits for its turn
    def before() -> None:
        bench.generation = 2

    async def run() -> list[bool]:
        return list(await asyncio.gather(bench.finish("a"), bench.finish("b")))

    # when the group has another generation
    bench.clients.before = before
    # then the first goes on, because it has begun to write, and the other one is left to the messages that come again
    assert asyncio.run(run()) == [True, False]
    assert bench.clients.steps == ["a0", "a1", "a2"]


def test_work_of_a_batch_that_lost_its_partitions_begins_all_the_same(bench: Bench) -> None:
    # given two that wait through a rebalance; one's batch had lost its partitions before it ended
    bench.generation = 2
    batches = bench.batches()
    bench.generation = 3

    async def run() -> list[bool]:
        left = (Aside({"a": 1}, lost=True), Aside({"b": 1}))
        return list(await asyncio.gather(*(bench.beside.finish(batches, each) for each in left)))

    # then that one is carried out: rows that the batch wrote too late may be out of place, and nothing comes again
    assert asyncio.run(run()) == [True, False]
    assert bench.clients.steps == ["a0", "a1", "a2"]


def test_a_reindex_that_still_counts_is_not_superseded(bench: Bench) -> None:
    async def run() -> list[bool]:
        return list(await asyncio.gather(bench.finish("a"), bench.finish("a")))

    assert asyncio.run(run()) == [True, True]
    assert bench.clients.steps == ["a0", "a1", "a2"] * 2


def a_letter() -> DeadLetter:
    return DeadLetter.of(Message("t", 0, 5, 0, b"k", b"v"), Refused("bad_uuid", "x"), now_ms=1)


def test_letters_of_refused_messages_are_sent_before_the_work_counts_as_done(bench: Bench) -> None:
    bench.clients.letters = [a_letter()]

    async def run() -> bool:
        return await bench.finish("a")

    assert asyncio.run(run())
    assert bench.clients.steps == ["a0", "a1", "a2", "1 letters"]


def test_letters_of_work_that_is_given_up_are_left_to_the_next_worker(bench: Bench) -> None:
    bench.clients.letters = [a_letter()]
    bench.clients.before = lambda: bench.stopping.set() if len(bench.clients.steps) == 2 else None

    async def run() -> bool:
        return await bench.finish("a")

    assert not asyncio.run(run())
    assert bench.clients.steps == ["a0", "a1"]
