"""Drives a backfill: sends one signal, waits for Debezium's notification of its end, sends the next.

Enters: a plan, and how far an earlier process has come. Leaves: signals, finished steps and a result in Kafka. When the
process is killed, Debezium ends the step under way by itself. The next process finds that in the notifications.
Connect's committed offsets say whether a snapshot is under way; it goes on from there after a restart.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from stream.backfill.notifications import News
from stream.backfill.plan import BackfillStep, execute_snapshot, signal_id
from stream.backfill.signals import Signals
from stream.backfill.snapshot_watch import SnapshotWatch
from stream.backfill.state import Backfill, BackfillResult, BackfillTopic, DriverReport, Signal, StepDone
from stream.errors import Retry, Stop
from stream.postgres.defining_query import SourceSql
from stream.progress import Progress
from stream.retry import Retrier, poll
from stream.settings_sections import RetrySettings

logger = logging.getLogger(__name__)
T = TypeVar("T")

_REPORT_S = 2.0
_PAUSE_AGAIN_S = 5.0
_QUIET_S = 10.0  # without news for this long it asks Connect
_LOSSES = 3  # limit of one step; then an operator should look
_COMMITTED_S = 30.0


class Stopped(Stop):
    """The operator or a signal ended it; a resume goes on."""


class Drive:
    """One backfill in this process.

    Args:
        retry: how long a system may be away, and the waits between tries.
        source: types of Postgres' columns, for the signals' conditions.
        watch: of this backfill.
        stopping: set by a signal to this process.
    """

    def __init__(
        self,
        backfill: Backfill,
        *,
        retry: RetrySettings,
        source: SourceSql,
        topic: BackfillTopic,
        signals: Signals,
        watch: SnapshotWatch,
        progress: Progress,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retry = Retrier(retry, stopping=stopping, on_retry=self._waits)
        self._backfill = backfill
        self._plan = backfill.plan
        self._source = source
        self._topic = topic
        self._signals = signals
        self._watch = watch
        self._progress = progress
        self._stopping = stopping
        self._clock = clock
        self._reported_at = self._pause_sent_at = float("-inf")

    def run(self) -> int:
        """Read the rest of the plan; returns the rows that were read in all.

        Raises:
            Stopped: by the operator or a signal to the process.
            Stop: it cannot go on; the text names the way out.
            Retry: Kafka, Postgres or Connect were away for longer than SCORESTREAM_RETRY_GIVE_UP_S.
        """
        name = self._plan.name
        self._progress.start_at(sum(done.rows for done in self._backfill.done.values()))
        try:
            for step in self._plan.steps:
                if step.number not in self._backfill.done:
                    self._read(step)
            rows = sum(done.rows for done in self._backfill.done.values())
            self._patiently(lambda: self._topic.put({f"{name}/result": BackfillResult(rows, _now_ms())}))
        finally:
            self._leave()
        return rows

    def _read(self, step: BackfillStep) -> None:
        """Send the step's signal, unless that was done before, and wait for its end."""
        signal = self._backfill.signal
        resumed = signal is not None and signal.step == step.number
        attempt = signal.attempt if signal is not None and resumed else 0
        if resumed:
            self._patiently(self._watch.catch_up)
        lost = 0
        while True:
            self._wait_while_paused(step)
            if attempt == 0 or self._news_of(step, attempt).aborted:
                attempt += 1
                self._patiently(partial(self._begin, step, attempt))
            lsn = self._patiently(partial(self._send, step, attempt))
            if self._await(step, attempt, lsn):
                return
            lost += 1
            if lost >= _LOSSES:
                raise Stop(
                    f"{step}: Debezium lost the snapshot {lost} times; see Connect's log, then "
                    f"`scorestream backfill resume {self._plan.name}`"
                )
            attempt += 1
            self._patiently(partial(self._begin, step, attempt))

    def _begin(self, step: BackfillStep, attempt: int) -> None:
        signal = Signal(step.number, attempt, self._watch.end(), _now_ms())
        self._topic.put({f"{self._plan.name}/signal": signal})
        self._backfill.signal = signal

    def _send(self, step: BackfillStep, attempt: int) -> int:
        data = execute_snapshot(self._source, step, self._plan.customers)
        return self._signals.send(signal_id(self._plan.name, step, attempt), "execute-snapshot", data)

    def _await(self, step: BackfillStep, attempt: int, lsn: int) -> bool:
        """Wait until the step is read. False: Debezium does not know the step any more, and it must be sent again."""
        name, own = self._plan.name, signal_id(self._plan.name, step, attempt)
        before = self._progress.done
        heard = looked = self._clock()
        while True:
            news = self._news_of(step, attempt)
            if self._patiently(self._watch.hear):
                heard = self._clock()
            rows = news.rows(chunk=self._plan.chunk, expected=step.rows)
            self._progress.set(before + rows, note=str(step) + (", paused" if news.paused else ""))
            if news.fault:
                raise Stop(f"{step}: Debezium could not read the table ({news.fault}); see Connect's log")
            if news.completed:
                self._committed(own)
                self._finish(step, news, rows)
                return True
            self._pulse(step)
            if news.aborted:
                raise Stop(f"{step}: another client stopped the snapshot; run `scorestream backfill resume {name}`")
            if self._backfill.control.wanted == "pause":
                if news.started_ms is not None and not news.paused:
                    self._pause_again()
                heard = self._clock()  # silence is the wanted effect
            now = self._clock()
            if now - heard > _QUIET_S and now - looked > _QUIET_S:
                looked = now
                if not self._patiently(partial(self._watch.is_under_way, own, lsn, on_wait=self._waits)):
                    return False

    def _finish(self, step: BackfillStep, news: News, rows: int) -> None:
        done = StepDone(rows, news.seconds, _now_ms())
        self._patiently(lambda: self._topic.put({f"{self._plan.name}/step/{step.number}": done}))
        self._backfill.done[step.number] = done
        logger.info("backfill step read", extra={"backfill": self._plan.name, "step": step.number, "rows": rows})

    def _committed(self, own: str) -> None:
        """Wait for the commit of the last rows' transaction."""

        def ended() -> bool:
            return self._patiently(partial(self._watch.is_committed, own))

        if not poll(ended, timeout_s=_COMMITTED_S, every_s=0.1, stopping=self._stopping, clock=self._clock):
            logger.warning("the last rows are not committed yet", extra={"signal": own})

    def _news_of(self, step: BackfillStep, attempt: int) -> News:
        return self._watch.news(signal_id(self._plan.name, step, attempt))

    def _wait_while_paused(self, step: BackfillStep) -> None:
        while True:
            self._pulse(step)
            if self._backfill.control.wanted != "pause":
                return
            self._progress.set(self._progress.done, note=f"paused before {step}")
            self._stopping.wait(0.5)

    def _pulse(self, step: BackfillStep) -> None:
        """Send the report, check the lock, read the orders; raises Stopped."""
        name = self._plan.name
        if self._stopping.is_set():
            raise Stopped(
                f"interrupted in {step}, which Debezium reads to its end; `scorestream backfill resume {name}` goes "
                f"on, `scorestream backfill stop {name}` ends it"
            )
        if self._clock() - self._reported_at >= _REPORT_S:
            self._reported_at = self._clock()
            if not self._patiently(self._signals.holds):
                raise Stopped(f"another process has taken over backfill {name}: `scorestream backfill status`")
            self._patiently(lambda: self._topic.put({f"{name}/driver": _driver()}))
        found = self._patiently(lambda: self._topic.get(name))
        self._backfill.control = found.control
        if found.control.wanted == "stop":
            raise Stopped(f"stopped by the operator in {step}; `scorestream backfill resume {name}` goes on there")

    def _pause_again(self) -> None:
        """Pause again: the order came when no snapshot was under way, or Connect has been restarted and forgot it."""
        if self._clock() - self._pause_sent_at < _PAUSE_AGAIN_S:
            return
        self._pause_sent_at = self._clock()
        own = f"{self._plan.name}/pause/{_now_ms()}"
        self._patiently(lambda: self._signals.send(own, "pause-snapshot", '{"type": "incremental"}'))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Try again while Kafka, Postgres or Connect are away."""
        try:
            return self._retry(ask)
        except Retry as error:
            if self._stopping.is_set():
                raise Stopped(f"interrupted; `scorestream backfill resume {self._plan.name}` goes on") from error
            raise

    def _waits(self, why: object) -> None:
        self._progress.set(self._progress.done, note=f"waiting: {why}")

    def _leave(self) -> None:
        try:
            self._topic.put({f"{self._plan.name}/driver": _driver(ended=True)})
        except Retry as error:
            logger.warning("the last report was not written", extra={"error": str(error)})


def _driver(*, ended: bool = False) -> DriverReport:
    return DriverReport(socket.gethostname(), os.getpid(), _now_ms(), ended)


def _now_ms() -> int:
    return int(time.time() * 1000)
