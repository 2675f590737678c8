"""Faust over record batches: builds the app, hands batches to agents, acknowledges, and ends the process.

    topic --stream/live/transport.py--> take_batches --> index(batches) --> ack --> Faust commits, in between

`take_batches` and not Faust's `noack_take`, which counts Faust's messages where we count records; wakes up every
`within`, also when nothing happens; hands a message over at the end of such a period, however long the message has
waited already; and never hands over anything for `within=0`.

An exception of an agent ends the process, and what it was working on is not acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, NoReturn

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables.manager import TableManager

from stream.config import KafkaSettings, Settings
from stream.kafka.offsets import TP, Progress
from stream.live.dead_members import client_id
from stream.live.gather import ack, take_batches
from stream.live.record_batch import BatchScheduler, RecordBatch
from stream.live.transport import SCHEME, BatchConsumer, BatchSchema, register

__all__ = ["LiveApp", "Progress", "RecordBatch", "ack", "build_app", "faust_broker_options", "take_batches"]

log = logging.getLogger(__name__)

COMMIT_INTERVAL_S: Final = 0.25  # a replay beside live sees by the commits how late live is, and slows down
STOP_S: Final = 9.5  # from the signal to the end of the process, which is promised within 10 s
FAILED_S: Final = 1.0  # to the end of a process that could not even start: Faust may wait for ever for its own threads
FINISH_S: Final = 6.0  # of these, for the batches under way
PARTITION_FETCH_BYTES: Final = 1 << 20

Index = Callable[[Sequence[RecordBatch], Any], Awaitable[None]]  # the batches, and what was prepared of them or None
Prepare = Callable[[Sequence[RecordBatch]], Awaitable[Any]]


def faust_broker_options(settings: KafkaSettings) -> dict[str, Any]:
    """Faust's options for where the brokers are and how to prove who we are."""
    hosts = [host.strip() for host in settings.bootstrap_servers.split(",") if host.strip()]
    options: dict[str, Any] = {
        "broker_consumer": [f"{SCHEME}://{host}" for host in hosts],
        "broker_producer": [f"kafka://{host}" for host in hosts],
    }
    context = _ssl_context(settings) if settings.security_protocol.endswith("SSL") else None
    if settings.security_protocol.startswith("SASL"):
        assert settings.sasl_password is not None  # config.py checked
        options["broker_credentials"] = SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password.get_secret_value(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = SSLCredentials(context=context)
    return options


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    if settings.ssl_certificate_location is not None:
        password = settings.ssl_key_password
        context.load_cert_chain(
            settings.ssl_certificate_location,
            settings.ssl_key_location,
            None if password is None else password.get_secret_value(),
        )
    return context


def build_app(settings: Settings) -> LiveApp:
    """The Faust app of the live workers; the group id is its id. It starts in `LiveApp.run`."""
    register()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.kafka.group,
        **faust_broker_options(settings.kafka),
        broker_client_id=client_id(),  # so every lag tool tells which worker
        autodiscover=False,
        datadir=str(settings.state_dir),
        store="memory://",
        web_enabled=False,  # the pages are stream/web's
        processing_guarantee="at_least_once",
        topic_disable_leader=True,
        topic_allow_declare=False,  # the topics are the connector's
        topic_partitions=settings.kafka.partitions,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=PARTITION_FETCH_BYTES,
        consumer_metadata_max_age_ms=30_000,  # a topic that the connector makes later is found after so long
        broker_max_poll_records=settings.batch.max_messages,
        # A worker that waits for Postgres must not be taken for dead before it gives up by itself.
        broker_max_poll_interval=settings.retry.give_up_s + 300,
        broker_session_timeout=settings.kafka.session_timeout_s,
        broker_heartbeat_interval=settings.kafka.session_timeout_s / 6,
        broker_request_timeout=60.0,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_check_crcs=True,
        stream_wait_empty=True,  # faust_transport.py bounds the wait
        # Back-pressure is faust_transport.py's, by records and bytes. The queue only must not be full before that.
        stream_buffer_maxsize=8 * settings.batch.max_messages,
        stream_recovery_delay=0.0,
        ConsumerScheduler=BatchScheduler,
        TableManager=_NoTables,
    )
    return LiveApp(app, settings)


class LiveApp:
    """A Faust app, its agents, and how it ends."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self.app = app
        self._batch = settings.batch
        self._stopping: list[Callable[[], None]] = []
        self._stop_began = False
        self._joined = False  # partitions were assigned, once
        self._error: BaseException | None = None
        self._worker: _Worker | None = None
        BatchConsumer.finish_s = FINISH_S
        most = settings.batch.max_messages
        BatchConsumer.hold_messages = 2 * most  # one list under way, and the next
        BatchConsumer.uncommitted_messages = 4 * most
        BatchConsumer.doubt_messages = 5 * most
        self.on_assigned(self._has_joined)

    def add_agent(self, topic: str, index: Index, *, prepare: Prepare | None = None, patience: float = 1.0) -> None:
        """Call `index` with the batches of a topic, one list after the other. When it returns they are acknowledged.

        Args:
            prepare: called with a full list while the one before is being indexed; what it returns goes to `index`.
            patience: a list closes at so many times the configured age.
        """

        async def agent(stream: Any) -> None:
            batch = self._batch
            under_way: asyncio.Task[None] | None = None

            def busy() -> asyncio.Task[None] | None:
                return under_way if under_way is not None and not under_way.done() else None

            async def work(events: Sequence[Any], batches: Sequence[RecordBatch], prepared: Any) -> None:
                try:
                    await index(batches, prepared)
                    await ack(stream, events)
                except Exception as error:
                    await self._fail(error)

            lists = take_batches(
                stream, max_messages=batch.max_messages, max_age_s=patience * batch.max_age_s, busy=busy
            )
            try:
                async for events in lists:
                    batches = [event.value for event in events]
                    prepared = None
                    if under_way is not None:
                        if prepare is not None and busy():
                            try:
                                prepared = await prepare(batches)
                            except Exception as error:
                                await self._fail(error)
                        await under_way
                    under_way = asyncio.ensure_future(work(events, batches, prepared))
                if under_way is not None:
                    await under_way
            finally:
                if under_way is not None:
                    under_way.cancel()

        agent.__name__ = agent.__qualname__ = topic.replace(".", "_").replace("-", "_")
        self.app.agent(self.app.topic(topic, schema=BatchSchema()), concurrency=1, name=topic)(agent)

    def on_stopping(self, callback: Callable[[], None]) -> None:
        """Called once, in the event loop's thread, when a signal or an error begins to end the process."""
        self._stopping.append(callback)

    def on_revoked(self, callback: Callable[[set[TP]], None]) -> None:
        """Called in the event loop's thread when partitions were taken away; some may come back at once."""
        self.app.on_partitions_revoked.connect(_signal(callback))

    def on_assigned(self, callback: Callable[[set[TP]], None]) -> None:
        """Called in the event loop's thread with all partitions that are ours from now on."""
        self.app.on_partitions_assigned.connect(_signal(callback))

    def still_ours(self, batch: RecordBatch) -> bool:
        """True when the batch's partition has been ours ever since it was fetched. From any thread."""
        return self._consumer.still_ours(batch)

    def progress(self) -> dict[TP, Progress]:
        """How far each assigned partition is. From any thread; asks no broker."""
        return self._consumer.progress()

    def restart_topics(self, topics: Collection[str]) -> None:
        """Read these topics from the start: each was deleted and created again. From any thread."""
        if self.app._consumer is not None:
            self.app.loop.call_soon_threadsafe(self._consumer.restart_topics, frozenset(topics))

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or an error; returns the exit code: 0, or the error's `exit_code`, or 1.

        At the signal fetching stops, batches under way are finished and committed, and the group is left. The process
        ends `STOP_S` seconds after the signal even if something hangs, and also when the caller does, afterwards.
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
            log.critical("stopped cause=%r", worker.crash_reason)
            code = code or 1
        return code

    def crash(self, error: BaseException) -> None:
        """End the process with a non-zero exit; nothing that is under way is acknowledged. In the loop's thread."""
        if self._error is None:
            self._error = error
            log.critical("stopped cause=%s: %s", type(error).__name__, error)
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

    async def _fail(self, error: Exception) -> NoReturn:
        if self._stop_began:
            # It was asked to end, and could not finish what it had: that will be fetched again.
            log.warning("not finished, not committed cause=%s: %s", type(error).__name__, error)
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
        end.daemon = True  # it outlives `run` on purpose: threads that hang would keep the interpreter from its end
        end.start()
        for callback in self._stopping:
            callback()

    def _end_process(self, within_s: float) -> None:
        log.critical("did not end within %.1f s: ending at once, without a commit", within_s)
        os._exit(getattr(self._error, "exit_code", 1) or 1)


class _NoTables(TableManager):  # type: ignore[misc]
    """Faust's waits a second, before it joins the group, for tables that may still be declared: there are none."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class _Worker(faust.Worker):  # type: ignore[misc]
    """Faust's worker; tells the live app when the end begins."""

    live: LiveApp

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        self.live._begin_stop()
        super()._schedule_shutdown(signal)

    def on_worker_shutdown(self) -> None:
        """Called before Faust stops what it has started, also when it could not start (no broker)."""
        self.live._begin_stop(STOP_S if self.live._joined else FAILED_S)
        super().on_worker_shutdown()

    async def _sentinel_task(self) -> None:
        """The last that the loop does. Faust's sleeps for a second, though everything has stopped."""


def _signal(callback: Callable[[set[TP]], None]) -> Callable[..., Awaitable[None]]:
    async def receive(_app: Any, tps: set[TP], **_options: Any) -> None:
        callback({TP(*tp) for tp in tps})

    return receive
