"""The live worker: Faust agents over record batches -> pipeline -> acknowledge; Faust commits what is acknowledged.

One agent for each source table, each with a thread and a Postgres connection of its own; all share the clients of the
shards. Within an agent one batch is under way at a time, so that batches grow with the backlog.

    fetch (Faust) -> take_batches -> [thread] pipeline.process -> ack -> commit (Faust, in between and at the end)

A fourth agent carries the canary (stream/live/heartbeat.py). It acknowledges at once, and none of its errors counts.

Nothing is acknowledged unless the pipeline returned. Faust would acknowledge a message whose agent raised, so no
exception leaves an agent: the process ends instead, with a non-zero exit.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack

from stream import interpreter, metrics
from stream.clickhouse.shards import Shards, leave_pandas_out
from stream.clickhouse.target import ClickHouseTarget
from stream.config import Settings
from stream.kafka import permissions
from stream.kafka.access import Access
from stream.kafka.announcement import Announcement
from stream.kafka.broker import Broker
from stream.kafka.topic_ids import TopicIds
from stream.kafka.topic_partition import TP
from stream.live.app import LiveApp
from stream.live.aside import Beside
from stream.live.build import build_app
from stream.live.credentials import CredentialsWatch
from stream.live.heartbeat import TIMEOUT_S, Heartbeats
from stream.live.indexer import TableIndexer
from stream.live.outage import PATIENCE_S, OutageRepair, Outages
from stream.live.record_batch import RecordBatch
from stream.live.source_watch import SourceWatch
from stream.live.summary import Summary
from stream.live.watchdog import Watchdog
from stream.monitor.wiring import open_monitor
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.postgres.connection import Postgres
from stream.postgres.lock import LockSpace
from stream.reindex.now import ReindexNow
from stream.scope import Scope
from stream.tables import CHATS, HEARTBEAT, SOURCES
from stream.verify.repair import Options, VerifyOutcome, verify
from stream.web.health import Health, HealthCheck
from stream.web.server import serve
from stream.wiring import Clients, open_stores

log = logging.getLogger(__name__)

IDLE_S = 10.0  # interval of the dashboard's sources while no viewer asks; less than findings.STALE_S


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the process's exit code."""
    leave_pandas_out()
    interpreter.prepare()
    faulthandler.register(signal.SIGQUIT, all_threads=True)  # also when the interpreter itself hangs
    watch = SourceWatch(Shards(settings.clickhouse), Postgres(settings.postgres), epochs=settings.epochs)
    live = build_app(settings.kafka, settings.batch, settings.retry, state_dir=settings.state_dir)
    summary = Summary()
    worker = LiveWorker(settings, live, summary)
    for table in SOURCES:
        worker.add_agent(table)
    worker.add_canary()
    topics = settings.topics.sources
    broker = Broker(settings.kafka, settings.topics)
    watchdog = Watchdog(
        live,
        source=broker,
        ids=TopicIds(broker.admin, topics),
        group=settings.kafka.group,
        topics=topics,
        limit_s=settings.watchdog.stall_s,
        tries=worker.tries,
    )
    outage = _outage_repair(settings)
    with ExitStack() as opened:
        opened.enter_context(summary)
        opened.callback(worker.close)
        opened.callback(broker.close)
        monitor = open_monitor(settings, idle_s=IDLE_S) if settings.web.dashboard else None
        server = opened.enter_context(
            serve(
                settings.web,
                health=worker.health,
                installation=settings.name,
                partitions=worker.partitions,
                state=monitor.look if monitor is not None else None,
                history=monitor.history if monitor is not None else None,
                any_port=True,
            )
        )
        opened.enter_context(Announcement(broker, url=server.url, role="worker"))
        opened.callback(watch.close)
        watch.first_look()  # behind the server: a store that hangs must not fail the liveness probe
        if monitor is not None:
            live.on_stopping(monitor.stop)
            opened.callback(monitor.close, within_s=0.5)
            monitor.start(also=server.own_url)
        permissions.check(Access(broker), broker.topics, broker.live_group, broker.settings.bootstrap_servers)
        watch.start(live)
        CredentialsWatch(settings.kafka).start(live)
        outage.look()
        outage.watch()
        live.on_stopping(outage.close)
        watchdog.start()
        opened.callback(watchdog.close)
        code = live.run()
    if outage.is_repairing:  # the interpreter would wait for its queries; the note stays, and they are sent again
        logging.shutdown()
        os._exit(code)
    return code


def _outage_repair(settings: Settings) -> OutageRepair:
    """Looks for an outage and repairs, with stores of its own."""

    running: list[Postgres | Shards] = []

    def compare() -> VerifyOutcome:
        with (
            open_stores(settings, patient=True, statement_timeout_s=0) as stores,
            Shards(settings.clickhouse) as shards,
            ReindexNow(stores.postgres, shards, retry=settings.retry, epochs=settings.epochs) as reindex,
        ):
            running[:] = [stores.postgres, stores.shards, shards]
            options = Options(Scope(), timeout_s=PATIENCE_S)
            return verify(stores, options, reindex=reindex, show=False)

    def cancel() -> None:
        for store in running:
            store.cancel()

    group = settings.kafka.group
    name = f"{settings.topics.prefix}/outage/{group}"
    locks = LockSpace(Postgres(settings.postgres), name, what="lock of the repair")
    return OutageRepair(Outages(Broker(settings.kafka, settings.topics), group), locks, compare, cancel)


class LiveWorker:
    """The agents, and the clients that they share."""

    def __init__(self, settings: Settings, live: LiveApp, summary: Summary) -> None:
        self._summary = summary
        self._settings = settings
        self._live = live
        self._stopping = threading.Event()
        live.on_stopping(self._stopping.set)
        live.on_assigned(self._on_assigned)
        self._shards = Shards(settings.clickhouse)
        self._target = ClickHouseTarget(self._shards, callers=len(SOURCES) + 1)
        clients = Clients(settings, mode="live", stopping=self._stopping, target=self._target)
        self._beside = Beside(live, clients, stopping=self._stopping)
        self._indexers: list[TableIndexer] = []
        self._heartbeats = Heartbeats(Shards(settings.clickhouse, timeout_s=TIMEOUT_S))
        self._assigned: set[TP] | None = None

    def add_agent(self, table: str) -> None:
        """Index the changes of one source table."""
        settings, batch = self._settings, self._settings.batch
        indexer = TableIndexer(
            table,
            live=self._live,
            clients=Clients(settings, mode="live", stopping=self._stopping, target=self._target),
            target=self._target,
            guard=DeadLetterGuard(share=batch.dead_letter_share, window=batch.dead_letter_window),
            summary=self._summary,
            stall_s=settings.watchdog.stall_s,
            finish=self._beside.finish,
        )
        self._indexers.append(indexer)
        # Few conversations cause work (only those inserted after their scorecards), so their batches may wait longer.
        self._live.add_agent(
            self._settings.topics.of(table),
            indexer.index,
            prepare=indexer.prepare,
            patience=5.0 if table == CHATS else 1.0,
        )

    def add_canary(self) -> None:
        """Write heartbeats to every shard. Only the worker that holds the topic's single partition does it."""

        async def carry(batches: Sequence[RecordBatch], _prepared: None) -> None:
            self._heartbeats.offer([record.value for batch in batches for record in batch.records])

        self._live.add_agent(self._settings.topics.of(HEARTBEAT), carry)

    def tries(self) -> dict[str, int]:
        """Topic -> tries in long batches, and steps of large reindexes, for the watchdog."""
        tries = {self._settings.topics.of(indexer.table): indexer.tries.count for indexer in self._indexers}
        return {topic: count + self._beside.tries(topic) for topic, count in tries.items()}

    def health(self) -> Health:
        """Live while the process answers. Ready once the group has given it partitions, and until it is to end."""
        assigned = self._assigned
        joined = HealthCheck("group", assigned is not None, "joined" if assigned is not None else "not joined yet")
        ending = self._stopping.is_set()
        return Health(
            live=(HealthCheck("process", ok=True, reason="answers"),),
            ready=(joined, HealthCheck("running", not ending, "ending" if ending else "indexing")),
            is_ending=ending,
        )

    def partitions(self) -> list[TP]:
        """Partitions that the group has given to this worker, for its monitor."""
        topics = {self._settings.topics.of(table) for table in SOURCES}
        return sorted(tp for tp in self._assigned or () if tp.topic in topics)

    def _on_assigned(self, partitions: set[TP]) -> None:
        metrics.REBALANCES.labels("live").inc()
        for table in SOURCES:
            topic = self._settings.topics.of(table)
            metrics.ASSIGNED.labels(topic).set(sum(tp.topic == topic for tp in partitions))
        log.info("assigned", extra={"partitions": len(partitions)})
        self._assigned = partitions

    def close(self) -> None:
        """Close all clients. No batch is under way any more."""
        for indexer in self._indexers:
            indexer.close()
        self._beside.close()
        self._heartbeats.close()
        self._target.close()
        self._shards.close()
