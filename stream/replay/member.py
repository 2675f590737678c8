"""One process of a replay: claims lanes, reads them, has batches processed, commits, and starts the next pass.

    Claims (Postgres locks) -> LogReader -> batches for each table -> Work (threads) -> Offsets -> commit
                                                                                \\-> report to the replays' topic

Reading, decoding, look-ups and writing overlap: librdkafka reads ahead, and `threads` batches are under way at a time.
Offsets are committed only as far as everything before them is done, whichever batch ends first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from stream import metrics
from stream.errors import Retry, ScorestreamError
from stream.kafka.committable import Offsets
from stream.kafka.log_reader import LogReader, Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.replay.batches import Batches
from stream.replay.claims import WAIT_S, Claims
from stream.replay.lanes import Lanes
from stream.replay.live_watch import Watch
from stream.replay.plan import Pass, ReplayResult
from stream.replay.state import Replay, ReplayTopic
from stream.replay.tally import Tally, Worked, now_ms
from stream.replay.throttle import Throttle, ThrottleLimits
from stream.replay.work import OpenClients, Work
from stream.retry import Retrier
from stream.settings_sections import ReplaySettings, RetrySettings
from stream.stores import Stores

log = logging.getLogger(__name__)

REPORT_S = 1.0
COMMIT_S = 0.5
_POLL_S = 0.05


class Member:
    """One process's part in a replay.

    Args:
        stores: opened and closed by the caller; shards with the live database.
        clients: opens the clients of one thread.
        guard: makes the guard of the dead letters of one thread.
        stopping: set to end after the batches under way.
        parent: pid of the process that started this one: when it is gone, this one ends.
    """

    def __init__(
        self,
        stores: Stores,
        clients: OpenClients,
        name: str,
        *,
        own: ReplaySettings,
        retry: RetrySettings,
        guard: Callable[[], DeadLetterGuard],
        stopping: threading.Event,
        parent: int | None = None,
    ) -> None:
        self._broker = stores.broker
        self._name = name
        self._own = own
        self._stopping = stopping
        self._parent = parent
        self._stack = contextlib.ExitStack()
        self._topic = self._stack.enter_context(ReplayTopic(stores.broker))
        self._replay: Replay = self._topic.get(name)
        plan = self._plan = self._replay.plan
        self._passing = len(self._replay.passes)
        self._pass: Pass = [plan.main, *self._replay.passes][-1]
        self._reader = self._stack.enter_context(LogReader(stores.broker, group=plan.group))
        lanes = self._stack.enter_context(Lanes(stores.postgres, f"{stores.broker.topics.prefix}/{name}"))
        self._watch = Watch(stores.broker, stores.shards.of(plan.into) if plan.into is not None else stores.shards)
        limits = ThrottleLimits(own.live_lag_s, own.max_parts, own.errors_per_minute, own.least_per_s)
        self._throttle = Throttle(limits, ceiling_per_s=plan.rate)
        self._giving_up = threading.Event()  # ends retries of batches under way when this process fails
        self._retry = Retrier(
            retry,
            stopping=self._giving_up,
            on_retry=lambda error: metrics.RETRIES.labels("replay", type(error).__name__).inc(),
        )
        self._claims = Claims(plan, lanes, self._reader, self._retry)
        self._work = Work(
            lambda: clients(self._giving_up, plan.into), plan, still_mine=self._claims.still_mine, guard=guard
        )
        self._stack.callback(self._work.close)
        self._threads = ThreadPoolExecutor(own.threads, thread_name_prefix="replay")
        self._offsets = Offsets()
        self._batches = Batches()
        self._under_way: dict[Future[Worked], list[Stretch]] = {}
        self._stored: dict[TP, int] = {}
        self._committed_at = self._reported_at = float("-inf")
        self._tally = Tally()

    def run(self) -> str:
        """Work until the replay ends, is paused or cancelled, or this process must stop; returns the replay's state.

        Raises:
            ScorestreamError: this process cannot go on. Its unfinished messages are not committed.
        """
        try:
            while not self._ends_now():
                self._step()
            self._finish()
        except BaseException as error:
            self._tally.report.error = str(error)[:1000]
            self._giving_up.set()
            self._threads.shutdown(wait=True, cancel_futures=True)
            with contextlib.suppress(ScorestreamError):
                self._say(ended=True)
            raise
        else:
            self._say(ended=True)
        finally:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._stack.close()
        return self._replay.state

    def _ends_now(self) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            self._stopping.set()
        return self._stopping.is_set() or self._replay.result is not None or self._replay.control.wanted != "running"

    def _step(self) -> None:
        self._look_around()
        self._claims.claim(self._pass)
        room = self._throttle.room(10_000)
        if room == 0 or (self._busy and self._batches.any_full(self._batch_messages)):
            self._collect(timeout_s=_POLL_S)
            if room == 0:
                self._stopping.wait(_POLL_S)
            return
        if self._reader.reading:
            stretches = self._reader.read(room, timeout_s=_POLL_S)
            self._gather(stretches)
            self._throttle.took(sum(map(len, stretches)))
            idle = not stretches
        else:
            idle = True
        self._submit(everything=idle)
        self._collect(timeout_s=_POLL_S if idle else 0.0)
        if idle and not self._under_way and not self._claims.lanes:
            self._next()

    def _gather(self, stretches: Sequence[Stretch]) -> None:
        for stretch in stretches:
            last = stretch.last_offset
            self._offsets.fetched(stretch.tp, start=stretch.start, end=stretch.end, last=last)
            if last is not None:
                self._batches.add(stretch)

    @property
    def _busy(self) -> bool:
        return len(self._under_way) >= (1 if self._watch.live_runs else self._own.threads)

    @property
    def _batch_messages(self) -> int:
        return self._throttle.batch(self._own.batch_messages)

    def _submit(self, *, everything: bool) -> None:
        if self._busy:
            return
        for table, stretches in self._batches.take(self._batch_messages, everything=everything):
            future = self._threads.submit(self._work, table, stretches, self._pass.kind)
            self._under_way[future] = stretches
            if self._busy:
                return

    def _collect(self, *, timeout_s: float) -> None:
        """Take note of finished batches, and commit now and then."""
        if self._under_way:
            finished, _ = wait(self._under_way, timeout=timeout_s, return_when=FIRST_COMPLETED)
            for future in finished:
                stretches = self._under_way.pop(future)
                self._count(stretches[0].topic, future.result())
                for stretch in stretches:
                    assert stretch.last_offset is not None
                    self._offsets.done(stretch.tp, stretch.last_offset)
        ended = self._claims.ended(self._offsets)
        if ended or time.monotonic() - self._committed_at >= COMMIT_S:
            self._commit()
        for lane in ended:
            self._offsets.forget(self._claims.finish(lane))

    def _commit(self) -> None:
        self._committed_at = time.monotonic()
        safe = {tp: offset for tp in self._offsets if (offset := self._offsets.safe(tp)) is not None}
        moved = {tp: offset for tp, offset in safe.items() if self._stored.get(tp) != offset}
        if moved:
            self._retry(lambda: self._reader.commit(moved))
            self._stored |= moved

    def _next(self) -> None:
        """With no lane to claim: wait for the others, or start the next pass when all are done."""
        if self._claims.left(self._pass):
            self._stopping.wait(WAIT_S)
            self._claims.at_once()
            return
        if not self._claims.alone(self._start_next_pass):
            self._stopping.wait(WAIT_S)
        self._retry(self._refresh)

    def _start_next_pass(self) -> None:
        self._retry(self._refresh)
        if self._replay.result is None and self._passing == len(self._replay.passes):
            self._retry(self._advance)

    def _advance(self) -> None:
        ends = self._broker.ends(self._broker.source_partitions())
        following = self._plan.next_pass([self._plan.main, *self._replay.passes], ends)
        if following is None:
            self._topic.put({f"{self._name}/result": ReplayResult("done", now_ms())})
        else:
            log.info("pass", extra={"kind": following.kind, "messages": following.messages})
            self._topic.put({f"{self._name}/pass/{self._passing + 1}": following})

    def _refresh(self) -> None:
        self._replay = self._topic.get(self._name)
        if len(self._replay.passes) > self._passing:
            self._passing = len(self._replay.passes)
            self._pass = self._replay.passes[-1]
            self._claims.begin_pass()

    def _look_around(self) -> None:
        """Look at live's lag. Every second also read the operator's wish, check the locks, and send the report."""
        if self._watch.due():
            ceiling = self._replay.rate
            rate = None if ceiling is None else ceiling / max(1, len(self._replay.alive()))
            self._throttle.look(self._watch.look(_retries()), present_per_s=self._tally.per_s(), ceiling_per_s=rate)
        if time.monotonic() - self._reported_at < REPORT_S:
            return
        self._reported_at = time.monotonic()
        try:
            self._refresh()
            lost = self._claims.lost()  # batches of them that are under way are finished, and not committed
            self._offsets.forget(lost)
            self._batches.drop(lost)
            self._say()
        except Retry as error:
            log.warning("retry", extra={"cause": str(error)})

    def _count(self, topic: str, worked: Worked) -> None:
        self._tally.add(worked)
        log.debug("batch", extra={"topic": topic, "messages": worked.messages, **worked.stages})

    def _say(self, *, ended: bool = False) -> None:
        report = self._tally.said(ended=ended)
        report.passing = self._passing
        report.lanes = [] if ended else self._claims.lanes
        report.total = self._pass.messages
        report.allowed_per_s = self._throttle.allowed_per_s
        report.throttled_by = "" if ended else self._throttle.why
        self._topic.put({f"{self._name}/member/{report.member}": report})

    def _finish(self) -> None:
        """Finish and commit the batches under way, and leave the rest."""
        while self._under_way:
            self._collect(timeout_s=1.0)
        self._commit()


def _retries() -> int:
    """How many steps of this process had to be tried again, ever."""
    return int(
        sum(
            sample.value
            for metric in metrics.RETRIES.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )
    )
