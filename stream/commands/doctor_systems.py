"""The systems that `scorestream doctor` examines, opened by the settings: each thread has its own clients."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from stream.clickhouse.schema import apply as schema_apply
from stream.clickhouse.shards import Shards
from stream.clickhouse.source_record import SourceRecord
from stream.config import PREFIX, Settings
from stream.connect.connector import lsn_of
from stream.connect.rest import Connect
from stream.doctor import across, clickhouse, connect, kafka, postgres, processes, roles
from stream.doctor import settings as own
from stream.doctor.causes import with_causes
from stream.doctor.examine import Part, examine, in_order
from stream.doctor.finding import ERROR, HINT, DoctorFinding, Purpose, System
from stream.errors import ConfigError, PostgresRefused, UsageError
from stream.kafka import topics
from stream.kafka.access import Access
from stream.kafka.broker import Broker
from stream.kafka.connect_workers import connect_workers
from stream.live.source_check import refuse
from stream.monitor.faults import PARTS_LIMIT
from stream.postgres.cluster import cluster
from stream.postgres.connection import LSN_NOW, Postgres
from stream.web.asker import Asker
from stream.wiring import connector_config

log = logging.getLogger(__name__)

_START_S = 30.0  # deadline of the look at a worker's start
_CATCH_UP_S = 20.0  # before that look: at once, it took a sixth of the speed of a worker that catches up
_ASK_S = 3.0  # limit of one answer of a process
_CONNECTORS = {postgres.SLOT.id, postgres.INACTIVE.id}
_RESTART_LSN = "SELECT (restart_lsn - '0/0'::pg_lsn)::bigint FROM pg_replication_slots WHERE slot_name = %s"


class Chain:
    """The whole chain of one installation.

    Args:
        purpose: also look at what this command needs.
        transaction_s: age from which a Postgres transaction is reported.
        answer_s: limit of one request.
    """

    def __init__(
        self, settings: Settings, *, purpose: Purpose | None = None, transaction_s: float, answer_s: float
    ) -> None:
        self._settings = settings
        self._purpose = purpose
        self._transaction_s = transaction_s
        self._answer_s = answer_s

    def examine(self, systems: Sequence[System], *, deadline_s: float) -> tuple[list[DoctorFinding], dict[str, float]]:
        """The findings of these systems, and the seconds that each part took."""
        parts = [part for system in dict.fromkeys(systems) for part in self._parts(system)]
        found, took = examine(parts, deadline_s=deadline_s)
        silent = {part.silent.id for part in parts} & {each.id for each in found}
        pairs = [part for part in self._pairs() if {*systems} >= part[0] and not part[1] & silent]
        more, longer = examine([part for _, _, part in pairs], deadline_s=deadline_s)
        return with_causes(in_order([*found, *more])), took | longer

    def _parts(self, system: System) -> Iterator[Part]:
        if system == "clickhouse":
            for number in range(len(self._settings.clickhouse.shards)):
                yield Part(f"ClickHouse shard {number}", clickhouse.SILENT, partial(self._shard, number))
            return
        asked = {
            "postgres": Part("Postgres", postgres.SILENT, self._postgres),
            "kafka": Part("Kafka", kafka.SILENT, self._kafka),
            "connect": Part("Kafka Connect", connect.SILENT, self._connect),
            "settings": Part("settings", own.FILE, self._own),
            "processes": Part("Kafka's group", processes.SILENT, self._processes),
        }
        yield asked[system]

    def _pairs(self) -> Iterator[tuple[set[System], set[str], Part]]:
        """Systems that are compared, the findings that say that one does not answer, and what is asked."""
        pg, ch, co, ka = postgres.SILENT.id, clickhouse.SILENT.id, connect.SILENT.id, kafka.SILENT.id
        yield {"postgres", "connect"}, {pg, co}, Part("slot and offset", across.UNKNOWN, self._offsets)
        yield {"postgres", "clickhouse"}, {pg, ch}, Part("versions", across.UNKNOWN, self._versions)
        yield {"kafka", "connect"}, {ka, co}, Part("cluster of Connect", across.UNKNOWN, self._clusters)

    def _postgres(self) -> Iterator[DoctorFinding]:
        settings = self._settings.postgres
        with Postgres(settings, statement_timeout_s=self._answer_s) as store:
            yield from postgres.examine(store, settings, transaction_s=self._transaction_s)
        backfill = self._settings.backfill
        if self._purpose == "backfill" and backfill.dsn:
            sender = settings.model_copy(update={"dsn": backfill.dsn, "password": backfill.password})
            with Postgres(sender, statement_timeout_s=self._answer_s) as store, store.session() as connection:
                yield from roles.signals(connection, settings.source_schema)

    def _broker(self) -> Broker:
        return Broker(self._settings.kafka, self._settings.topics, timeout_s=self._answer_s)

    def _kafka(self) -> Iterator[DoctorFinding]:
        with self._broker() as broker:
            inspect = partial(topics.inspect, broker, timeout_s=self._answer_s)
            servers, group = broker.settings.bootstrap_servers, broker.live_group
            yield from kafka.examine(Access(broker), inspect, broker.topics, servers, group=group)

    def _connect(self) -> Iterator[DoctorFinding]:
        try:
            wanted = connector_config(self._settings)
        except (ConfigError, UsageError) as error:
            yield connect.INVALID.found(str(error), "correct the setting or the file that is named")
            return
        with Connect(self._settings.connect, timeout_s=self._answer_s, patience_s=0) as client:
            yield from connect.examine(client, self._settings.connect.connector, wanted)

    def _shard(self, number: int) -> Iterator[DoctorFinding]:
        settings = self._settings.clickhouse
        with Shards(settings, timeout_s=self._answer_s) as shards:
            shard = clickhouse.ShardServer(
                number,
                shards.where(number),
                shards.database,
                settings.user,
                partial(shards.ask, number),
                partial(schema_apply.status_of, shards, number),
            )
            most = self._settings.replay.max_parts if self._purpose == "replay" else PARTS_LIMIT
            yield from clickhouse.examine(shard, self._purpose, most_parts=most)

    def _own(self) -> Iterator[DoctorFinding]:
        settings = self._settings
        files = {
            "SCORESTREAM_KAFKA_SSL_CA_LOCATION": settings.kafka.ssl_ca_location,
            "SCORESTREAM_KAFKA_SSL_CERTIFICATE_LOCATION": settings.kafka.ssl_certificate_location,
            "SCORESTREAM_CLICKHOUSE_CA_CERT": settings.clickhouse.ca_cert,
            "SCORESTREAM_CONNECT_CONFIG": settings.connect.config,
            "SCORESTREAM_CONNECT_CA_CERT": settings.connect.ca_cert,
        }
        secrets = {name: Path(os.environ[name]) for name in sorted(os.environ) if _names_secrets(name)}
        if settings.kafka.ssl_key_location is not None:
            secrets["SCORESTREAM_KAFKA_SSL_KEY_LOCATION"] = settings.kafka.ssl_key_location
        there = {name: path for name, path in files.items() if path is not None}
        yield from own.examine(files=there, secrets=secrets, state_dir=settings.state_dir)
        if self._purpose == "backfill" and not settings.backfill.dsn:
            yield own.BACKFILL.found("SCORESTREAM_BACKFILL_DSN is not set")

    def _processes(self) -> Iterator[DoctorFinding]:
        settings = self._settings
        asker = Asker(timeout_s=min(_ASK_S, self._answer_s))
        try:
            with self._broker() as broker:
                yield from processes.examine(
                    broker,
                    group=broker.live_group,
                    topics=broker.topics.sources,
                    urls=_urls(settings),
                    get=asker.get,
                )
        finally:
            asker.close()

    def _offsets(self) -> Iterator[DoctorFinding]:
        postgres_, name = self._settings.postgres, self._settings.connect.connector
        with (
            Postgres(postgres_, statement_timeout_s=self._answer_s) as store,
            Connect(self._settings.connect, timeout_s=self._answer_s, patience_s=0) as client,
            store.session() as connection,
        ):
            slot = connection.execute(_RESTART_LSN, (postgres_.slot,)).fetchone()
            offset = lsn_of(client.offsets(name))
            wal = connection.execute(LSN_NOW).fetchone()
        yield from across.offsets(
            begins=slot and slot[0], offset=offset, wal=wal and wal[0], connector=name, slot=postgres_.slot
        )

    def _versions(self) -> Iterator[DoctorFinding]:
        """As a worker looks before it starts, and the versions of the newest rows."""
        settings = self._settings
        with (
            Shards(settings.clickhouse, timeout_s=self._answer_s) as shards,
            Postgres(settings.postgres, statement_timeout_s=self._answer_s) as store,
            store.session() as connection,
        ):
            stored = SourceRecord(shards).read()
            highest = max(shards.each(lambda n: clickhouse.highest_version(partial(shards.ask, n), shards.database)))
            now = cluster(connection)
        try:
            refuse(now, stored, epoch=settings.epochs.present(), highest=lambda: highest)
        except (ConfigError, PostgresRefused) as error:
            yield across.EPOCH.found(str(error))
        else:
            wal = None if now.is_standby else now.lsn
            yield from across.versions(highest, epoch=settings.epochs.present(), wal=wal)

    def _clusters(self) -> Iterator[DoctorFinding]:
        settings = self._settings.connect
        with Connect(settings, timeout_s=self._answer_s, patience_s=0) as client, self._broker() as broker:
            yield from across.clusters(broker.cluster_id(), client.cluster_id())
            status = client.status(settings.connector)
            named = {f"task {task.id}": task.worker for task in status.tasks} if status is not None else {}
            if status is not None:
                named["connector"] = status.worker
            living = connect_workers(broker, timeout_s=self._answer_s)
        yield from across.connect_group(living, named, rest={urlsplit(url).netloc for url in settings.urls})


def look_at_start(settings: Settings, *, after_s: float = _CATCH_UP_S) -> None:
    """Log what a worker that has just started will meet. The look goes on beside it, and holds nothing up.

    The connector and the other processes are left out: they may start a moment later.

    Args:
        after_s: seconds before the look.
    """

    def look() -> None:
        time.sleep(after_s)
        chain = Chain(settings, transaction_s=3600, answer_s=_ASK_S)
        found, _ = chain.examine(("postgres", "kafka", "clickhouse", "settings"), deadline_s=_START_S)
        for each in found:
            if each.severity != HINT and each.id not in _CONNECTORS:
                level = logging.ERROR if each.severity == ERROR else logging.WARNING
                fields = {"check": each.id, "what": each.what, "if_it_stays": each.then, "way_out": each.way_out}
                log.log(level, "look at the start", extra=fields)

    threading.Thread(target=look, daemon=True, name="look-at-start").start()


def _names_secrets(variable: str) -> bool:
    """Whether the variable names a file that holds secrets."""
    return variable.startswith(PREFIX) and (variable.endswith("_FILE") or variable == PREFIX + "CONFIG")


def _urls(settings: Settings) -> dict[str, bool]:
    """URL of a process -> whether it must answer: those that an operator has listed."""
    if "processes" in settings.monitor.model_fields_set:
        return dict.fromkeys(settings.monitor.processes, True)
    host = settings.web.host if settings.web.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    return {f"http://{host}:{port}": False for port in (settings.web.port, settings.monitor.port) if port}
