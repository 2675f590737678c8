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
from collections.abc import Callable, Mapping

from stream import metrics
from stream.errors import Retry, ScorestreamError
from stream.kafka.log_reader import LogReader
from stream.kafka.reached import reached_before
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.replay.claims import WAIT_S, Claims
from stream.replay.in_flight import InFlight
from stream.replay.lanes import Lanes
from stream.replay.live_watch import Watch
from stream.replay.passes import Passes
from stream.replay.state import ReplayTopic
from stream.replay.tally import Tally
from stream.replay.throttle import Throttle, ThrottleLimits
from stream.replay.work import OpenClients, Work
from stream.retry import Retrier
from stream.settings_sections import ReplaySettings, RetrySettings
from stream.stores import Stores

log = logging.getLogger(__name__)

REPORT_S = 1.0
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
        self._own = own
        self._stopping = stopping
        self._parent = parent
        self._stack = contextlib.ExitStack()
        self._giving_up = threading.Event()  # ends retries of batches under way when this process fails
        self._retry = Retrier(
            retry,
            stopping=self._giving_up,
            on_retry=lambda error: metrics.RETRIES.labels("replay", type(error).__name__).inc(),
        )
        self._topic = self._stack.enter_context(ReplayTopic(stores.broker))
        self._passes = Passes(stores.broker, self._topic, name)
        plan = self._passes.replay.plan
        self._reader = self._stack.enter_context(LogReader(stores.broker, group=plan.group))
        lanes = self._stack.enter_context(Lanes(stores.postgres, f"{stores.broker.topics.prefix}/{name}"))
        self._watch = Watch(stores.broker, stores.shards.of(plan.into) if plan.into is not None else stores.shards)
        limits = ThrottleLimits(own.live_lag_s, own.max_parts, own.errors_per_minute, own.least_per_s)
        self._throttle = Throttle(limits, ceiling_per_s=plan.rate)

        def begin(offsets: Mapping[TP, int]) -> None:
            work.begin(offsets, reached_before(stores.broker, offsets, stores.epochs, group=plan.group))

        self._claims = Claims(plan, lanes, self._reader, self._retry, begin)
        work = Work(lambda: clients(self._giving_up, plan.into), plan, still_mine=self._claims.still_mine, guard=guard)
        self._stack.callback(work.close)
        self._in_flight = InFlight(work, self._reader, self._retry, threads=own.threads)
        self._reported_at = float("-inf")
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
            self._in_flight.close()
            with contextlib.suppress(ScorestreamError):
                self._say(ended=True)
            raise
        else:
            self._say(ended=True)
        finally:
            self._in_flight.close()
            self._stack.close()
        return self._passes.replay.state

    def _ends_now(self) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            self._stopping.set()
        replay = self._passes.replay
        return self._stopping.is_set() or replay.result is not None or replay.control.wanted != "running"

    def _step(self) -> None:
        self._look_around()
        self._claims.claim(self._passes.present)
        room = self._throttle.room(10_000)
        if room == 0 or (self._in_flight.under_way >= self._most and self._in_flight.has_full(self._batch_messages)):
            self._collect(timeout_s=_POLL_S)
            if room == 0:
                self._stopping.wait(_POLL_S)
            return
        if self._reader.reading:
            stretches = self._reader.read(room, timeout_s=_POLL_S)
            self._in_flight.gather(stretches)
            self._throttle.took(sum(map(len, stretches)))
            idle = not stretches
        else:
            idle = True
        kind, messages = self._passes.present.kind, self._batch_messages
        self._in_flight.submit(kind, most=self._most, messages=messages, everything=idle)
        self._collect(timeout_s=_POLL_S if idle else 0.0)
        if idle and not self._in_flight.under_way and not self._claims.lanes:
            self._next()

    @property
    def _most(self) -> int:
        """How many batches may be under way."""
        return 1 if self._watch.live_runs else self._own.threads

    @property
    def _batch_messages(self) -> int:
        return self._throttle.batch(self._own.batch_messages)

    def _collect(self, *, timeout_s: float) -> None:
        """Take note of finished batches, and commit now and then."""
        for topic, worked in self._in_flight.finished(timeout_s=timeout_s):
            self._tally.add(worked)
            log.debug("batch", extra={"topic": topic, "messages": worked.messages, **worked.stages})
        ended = self._claims.ended(self._in_flight.offsets)
        if ended or self._in_flight.commit_is_due:
            self._in_flight.commit()
        for lane in ended:
            self._in_flight.offsets.forget(self._claims.finish(lane))

    def _next(self) -> None:
        """With no lane to claim: wait for the others, or start the next pass when all are done."""
        if self._claims.left(self._passes.present):
            self._stopping.wait(WAIT_S)
            self._claims.at_once()
            return
        if not self._claims.alone(self._start_next_pass):
            self._stopping.wait(WAIT_S)
        self._retry(self._refresh)

    def _start_next_pass(self) -> None:
        number = self._passes.number
        self._retry(self._refresh)
        if self._passes.replay.result is None and self._passes.number == number:
            self._retry(self._passes.advance)

    def _refresh(self) -> None:
        if self._passes.refresh():
            self._claims.begin_pass()

    def _look_around(self) -> None:
        """Look at live's lag. Every second also read the operator's wish, check the locks, and send the report."""
        if self._watch.due():
            replay = self._passes.replay
            ceiling = replay.rate
            rate = None if ceiling is None else ceiling / max(1, len(replay.alive()))
            self._throttle.look(self._watch.look(_retries()), present_per_s=self._tally.per_s(), ceiling_per_s=rate)
        if time.monotonic() - self._reported_at < REPORT_S:
            return
        self._reported_at = time.monotonic()
        try:
            self._refresh()
            lost = self._claims.lost()  # batches of them that are under way are finished, and not committed
            self._in_flight.give_up(lost)
            self._say()
        except Retry as error:
            log.warning("retry", extra={"cause": str(error)})

    def _say(self, *, ended: bool = False) -> None:
        report = self._tally.said(ended=ended)
        report.passing = self._passes.number
        report.lanes = [] if ended else self._claims.lanes
        report.total = self._passes.present.messages
        report.allowed_per_s = self._throttle.allowed_per_s
        report.throttled_by = "" if ended else self._throttle.why
        self._topic.put({f"{self._passes.replay.name}/member/{report.member}": report})

    def _finish(self) -> None:
        """Finish and commit the batches under way, and leave the rest."""
        while self._in_flight.under_way:
            self._collect(timeout_s=1.0)
        self._in_flight.commit()


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
