"""Large reindexes beside the batches that follow, in a thread of their own, one after another.

Enters: what a batch left aside (stream/pipeline/aside.py). Leaves: nothing until ClickHouse holds it. The app
acknowledges the batches that asked for it only then, so a worker that ends meanwhile loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from stream import metrics
from stream.live.app import LiveApp
from stream.live.record_batch import RecordBatch
from stream.pipeline.account import log_letters
from stream.pipeline.aside import Aside
from stream.pipeline.ledger import Counts
from stream.pipeline.record import record_rows
from stream.wiring import Clients

log = logging.getLogger(__name__)
T = TypeVar("T")


class _GivenUp(Exception):
    """Another one does the work: the next worker, or a later reindex of this one."""


@dataclass(slots=True, eq=False)
class _Job:
    batches: Sequence[RecordBatch]
    aside: Aside
    superseded: bool = False

    @property
    def topic(self) -> str:
        return self.batches[0].topic


class Beside:
    """The thread, for all tables of a worker.

    Args:
        live: says whether partitions are still ours.
        clients: of this thread alone; closed with it.
        stopping: once it is set, the work under way ends at its next step.
    """

    def __init__(self, live: LiveApp, clients: Clients, *, stopping: threading.Event) -> None:
        self._live = live
        self._clients = clients
        self._stopping = stopping
        self._settler = clients.settler(retry=self._step)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._jobs: list[_Job] = []  # under way and waiting; changed in the event loop's thread
        self._job: _Job | None = None
        self._tries: Counter[str] = Counter()

    def tries(self, topic: str) -> int:
        """Steps that were begun for a topic: the watchdog takes them for progress."""
        return self._tries[topic]

    async def finish(self, batches: Sequence[RecordBatch], aside: Aside) -> bool:
        """Carry out what these batches of one topic left aside. False: it was given up, and they must stay undone.

        After a rebalance the same messages come again. They supersede work of before whose acknowledgement would count
        for nothing. Such work does not begin.

        Raises:
            ScorestreamError: what the stores raise.
        """
        for job in self._jobs:
            if job.aside.versions.keys() <= aside.versions.keys() and any(map(self._live.is_void, job.batches)):
                job.superseded = True
        job = _Job(batches, aside)
        topic = job.topic
        self._jobs.append(job)
        self._count(topic)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._finish, job)
        finally:
            self._jobs.remove(job)
            self._count(topic)

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._clients.close()

    def _count(self, topic: str) -> None:
        waiting = sum(len(job.aside.versions) for job in self._jobs if job.topic == topic)
        metrics.ASIDE.labels(topic).set(waiting)

    def _finish(self, job: _Job) -> bool:
        self._job = job
        if any(map(self._live.is_void, job.batches)) and not job.aside.lost:
            return False  # its messages come again, to a worker that looks for what this one wrote of them
        counts, began = Counts(), time.monotonic()
        fields = {"topic": job.topic, "scorecards": len(job.aside.versions)}
        log.info("large reindex begins", extra=fields)

        def still_mine() -> bool:
            return all(map(self._live.still_ours, job.batches))

        try:
            letters = self._settler.finish(job.aside, counts, still_mine=still_mine)
            if letters:
                self._step(partial(self._clients.dead_letters.send, letters))
                log_letters(letters)
        except _GivenUp as why:
            log.info("large reindex given up", extra=fields | {"cause": str(why)})
            return False
        finally:
            record_rows(job.topic, counts, mode="live")
        took_s = round(time.monotonic() - began, 1)
        log.info("large reindex ends", extra=fields | {"rows": counts.rows, "took_s": took_s})
        return True

    def _step(self, step: Callable[[], T], /) -> T:
        def tried() -> T:
            assert self._job is not None
            if self._stopping.is_set():
                raise _GivenUp("the worker ends; the next one does it")
            if self._job.superseded:
                raise _GivenUp("a later one does it, since the partitions came back")
            for topic in {job.topic for job in list(self._jobs)}:  # those that wait for their turn hang no more than it
                self._tries[topic] += 1
            return step()

        return self._clients.retry(tried)
