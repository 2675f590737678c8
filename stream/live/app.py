"""Faust over record batches: hands batches to agents, acknowledges, and ends the process. `build.py` makes the app.

    topic --stream/live/transport.py--> take_batches --> index(batches) --> ack --> Faust commits, in between

`take_batches` replaces Faust's `noack_take`, which counts Faust's messages where this worker counts records.
`noack_take` also wakes up every `within` seconds, even when nothing happens. It hands a message over only at the end of
such a period, and with `within=0` it never does.

An exception of an agent ends the process, and the messages under way are not acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, NoReturn

import faust

from stream.kafka.committable import PartitionProgress
from stream.kafka.topic_partition import TP
from stream.live.agent import BatchAgent, Index, Prepare
from stream.live.limits import Limits
from stream.live.record_batch import BatchSchema, RecordBatch
from stream.live.transport import BatchConsumer
from stream.pipeline.late import Newest

log = logging.getLogger(__name__)

STOP_S: Final = 9.5  # from the signal to the end of the process, which is promised within 10 s
FAILED_S: Final = 1.0  # to the end of a process that failed to start: Faust may wait for ever for its own threads


class BatchApp(faust.App):  # type: ignore[misc]
    """Faust's app, with what its consumer needs besides.

    Attributes:
        newest: versions that the partitions have reached; each indexer records them here.
    """

    limits: Limits
    newest: Newest


class LiveApp:
    """A Faust app, its agents, and how it ends.

    Args:
        max_messages: a list of batches closes at this many messages.
        max_age_s: or when its first message has waited this long, seconds.

    Attributes:
        newest: the app's.
    """

    def __init__(self, app: BatchApp, *, max_messages: int, max_age_s: float) -> None:
        self.app = app
        self.newest = app.newest
        self._max_messages = max_messages
        self._max_age_s = max_age_s
        self._stopping: list[Callable[[], None]] = []
        self._stop_began = False
        self._joined = False  # partitions were assigned, once
        self._error: BaseException | None = None
        self._worker: _Worker | None = None
        self.on_assigned(self._has_joined)

    def add_agent(self, topic: str, index: Index, *, prepare: Prepare | None = None, patience: float = 1.0) -> None:
        """Call `index` with the batches of a topic, one list after the other. When it returns they are acknowledged.

        Those that it holds are acknowledged when their further work is done, beside the lists that follow.

        Args:
            prepare: called with a full list while the one before is being indexed; its result goes to `index`.
            patience: a list closes at this multiple of the configured age.
        """

        async def agent(stream: Any) -> None:
            batches = BatchAgent(
                stream,
                index,
                prepare=prepare,
                leave_aside=self._leave_aside,
                failed=self._fail,
            )
            await batches.run(max_messages=self._max_messages, max_age_s=patience * self._max_age_s)

        agent.__name__ = agent.__qualname__ = topic.replace(".", "_").replace("-", "_")
        self.app.agent(self.app.topic(topic, schema=BatchSchema()), concurrency=1, name=topic)(agent)

    def on_stopping(self, callback: Callable[[], None]) -> None:
        """Called once, in the event loop's thread, when a signal or an error begins to end the process."""
        self._stopping.append(callback)

    def on_revoked(self, callback: Callable[[set[TP]], None]) -> None:
        """Called in the event loop's thread after partitions were taken away; some may come back at once."""
        self.app.on_partitions_revoked.connect(_signal(callback))

    def on_assigned(self, callback: Callable[[set[TP]], None]) -> None:
        """Called in the event loop's thread with all partitions that are ours from now on."""
        self.app.on_partitions_assigned.connect(_signal(callback))

    def still_ours(self, batch: RecordBatch) -> bool:
        """Whether the batch's partition has been ours ever since it was fetched. From any thread."""
        return self._consumer.still_ours(batch)

    def is_void(self, batch: RecordBatch) -> bool:
        """Whether its acknowledgement counts for nothing: the partition was read again since. From any thread."""
        return bool(batch.generation != self.app.consumer_generation_id)

    def progress(self) -> dict[TP, PartitionProgress]:
        """How far each assigned partition is. From any thread; asks no broker."""
        return self._consumer.progress()

    def restart_topics(self, topics: Collection[str]) -> None:
        """Read these topics from the start: each was deleted and created again. From any thread."""
        if self.app._consumer is not None:
            self.app.loop.call_soon_threadsafe(self._consumer.restart_topics, frozenset(topics))

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or an error; returns the exit code: 0, or the error's `exit_code`, or 1.

        At the signal fetching stops, batches under way are finished and committed, and the group is left. The process
        ends `STOP_S` seconds after the signal even if a thread hangs, also in code that the caller runs afterwards.
        """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        worker = self._worker = _Worker(
            self.app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True, stdout=sys.stderr
        )
        worker.spinner = None
        worker.live = self
        code = 1
        try:
            worker.execute_from_commandline()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        if self._error is not None:
            code = getattr(self._error, "exit_code", 1)
        elif worker.crash_reason is not None:
            log.critical("stopped", extra={"cause": repr(worker.crash_reason)})
            code = code or 1
        return code

    def crash(self, error: BaseException) -> None:
        """End the process with a non-zero exit. Batches under way are not acknowledged. In the loop's thread."""
        if self._error is None:
            self._error = error
            log.critical("stopped", extra={"cause": f"{type(error).__name__}: {error}"})
        self._consumer.abandoned = True
        self.stop()

    def stop(self) -> None:
        """End the process as SIGTERM does. In the loop's thread."""
        if self._worker is not None:
            self._worker._schedule_shutdown(signal.SIGTERM)

    @property
    def _consumer(self) -> BatchConsumer:
        consumer: BatchConsumer = self.app.consumer
        return consumer

    def _leave_aside(self, message: Any) -> None:
        self._consumer.leave_aside(message)

    async def _fail(self, error: Exception) -> NoReturn:
        if self._stop_began:
            # It was asked to end, and could not finish its batches in time. The next worker fetches them again.
            log.warning("not finished, not committed", extra={"cause": f"{type(error).__name__}: {error}"})
            self._consumer.abandoned = True
        else:
            log.debug("agent failed", exc_info=error)
            self.crash(error)
        await asyncio.get_running_loop().create_future()  # until the agent is cancelled
        raise AssertionError("unreachable")

    def _has_joined(self, _partitions: set[TP]) -> None:
        self._joined = True

    def _begin_stop(self, within_s: float = STOP_S) -> None:
        if self._stop_began:
            return
        self._stop_began = True
        end = threading.Timer(within_s, self._end_process, [within_s])
        end.daemon = True  # it outlives `run` on purpose: hanging threads would keep the interpreter from ending
        end.start()
        for callback in self._stopping:
            callback()

    def _end_process(self, within_s: float) -> None:
        log.critical("did not end in time: ending at once, without a commit", extra={"limit_s": within_s})
        os._exit(getattr(self._error, "exit_code", 1) or 1)


class _Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker; tells the live app when the end begins."""

    live: LiveApp

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        self.live._begin_stop()
        super()._schedule_shutdown(signal)

    def on_worker_shutdown(self) -> None:
        """Called before Faust stops its services, also when it could not start (no broker)."""
        self.live._begin_stop(STOP_S if self.live._joined else FAILED_S)
        super().on_worker_shutdown()

    async def _sentinel_task(self) -> None:
        """The last task of the loop. Faust's own sleeps for a second, though everything has stopped."""


def _signal(callback: Callable[[set[TP]], None]) -> Callable[..., Awaitable[None]]:
    async def receive(_app: Any, tps: set[TP], **_options: Any) -> None:
        callback({TP(*tp) for tp in tps})

    return receive
