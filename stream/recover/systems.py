"""The systems behind a recovery: one look at all of them, and each step as a few calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stream.clickhouse.source_record import SourceRecord
from stream.connect.connector import differences, lsn_of
from stream.connect.rest import Connect, ConnectorStatus
from stream.errors import ConnectError, PostgresRefused, UsageError
from stream.kafka import topics
from stream.postgres import publication, replication
from stream.postgres.connection import Postgres
from stream.progress import Progress
from stream.recover.facts import Facts, Position
from stream.recover.findings import reached
from stream.recover.plan import RecoveryStep
from stream.retry import poll
from stream.stores import Stores

_POLL_S = 0.3
_LET_GO_S = 15.0  # a stopped task closes its connection within this time, unless its host is gone


@dataclass(frozen=True, slots=True)
class Wanted:
    """How it has to be: the connector's name and config, and the names in Postgres."""

    connector: str
    config: Mapping[str, str]
    slot: str
    publication: str


class OpenSystems:
    """Postgres, Connect, Kafka and ClickHouse as `run.Systems`; the command opens and closes them.

    Args:
        stores: its Postgres asks, as any role.
        replicating: changes slot and publication; a role with REPLICATION.
        timeout_s: longest wait for one step; `stream` may take longer while the connector moves.
        show: progress on stderr.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        stores: Stores,
        replicating: Postgres,
        connect: Connect,
        timeout_s: float = 120,
        show: bool = True,
    ) -> None:
        self._wanted = wanted
        self._stores = stores
        self._postgres = stores.postgres
        self._replicating = replicating
        self._connect = connect
        self._timeout_s = timeout_s
        self._show = show
        self._taking: dict[str, Callable[[], None]] = {
            "create-connector": self._create_connector,
            "stop-connector": self._stop,
            "configure-connector": lambda: connect.put(wanted.connector, wanted.config),
            "forget-offset": lambda: connect.reset_offsets(wanted.connector),
            "drop-slot": self._drop_slot,
            "publish": self._publish,
            "forget-horizon": self._forget_horizon,
            "create-topics": self._create_topics,
            "create-slot": self._create_slot,
            "set-offset": self._set_offset,
            "pass-versions": self._pass_versions,
            "restart-connector": self._restart,
            "start-connector": self._start,
            "stream": self._stream,
        }

    def look(self) -> Facts:
        """Ask in the order in which positions grow: versions and slot first, then the offset, the WAL's end last."""
        wanted = self._wanted
        record = SourceRecord(self._stores.shards)
        highest, stored = record.highest(), tuple(record.read())
        with self._postgres.asking() as connection:
            slot = replication.slot(connection, wanted.slot)
        status = self._connect.status(wanted.connector)
        held = self._connect.config(wanted.connector)
        position = position_of(self._connect.offsets(wanted.connector))
        missing, empty = self._topics()
        broker = self._stores.broker
        with self._postgres.asking() as connection:
            server = replication.server(connection, self._postgres.schema)
            unpublished = publication.unpublished(connection, wanted.publication, self._postgres.schema)
        return Facts(
            server=server,
            slot=slot,
            unpublished=unpublished,
            connector=None if held is None else _state(status),
            failures=() if status is None else status.failures,
            drifted=() if held is None else tuple(differences(held, dict(wanted.config) | {"name": wanted.connector})),
            position=position,
            missing_topics=missing,
            empty_topics=empty,
            highest=highest,
            stored=stored,
            epoch=self._stores.epochs.present(),
            workers=len(broker.group(broker.live_group).members),
        )

    def do(self, step: RecoveryStep) -> None:
        """Take one step; see `run.Systems`."""
        self._taking[step.id]()

    def _topics(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Topics that are missing, and topics of rows without a message."""
        broker = self._stores.broker
        missing = tuple(each.topic.name for each in topics.inspect(broker) if each.state == "missing")
        empty = []
        for topic in broker.topics.sources:
            tps = broker.partitions([topic]) if topic not in missing else []
            starts, ends = broker.starts(tps), broker.ends(tps)
            if tps and all(starts[tp] == ends[tp] for tp in tps):
                empty.append(topic)
        return missing, tuple(empty)

    def _create_topics(self) -> None:
        topics.ensure_topics(self._stores.broker)

    def _create_connector(self) -> None:
        self._connect.create_stopped(self._wanted.connector, self._wanted.config)
        self._connect.wait(self._wanted.connector, state="STOPPED", timeout_s=self._timeout_s)

    def _stop(self) -> None:
        self._connect.change(self._wanted.connector, "stop")
        self._connect.wait(self._wanted.connector, state="STOPPED", timeout_s=self._timeout_s)

    def _start(self) -> None:
        self._connect.change(self._wanted.connector, "resume")
        self._connect.wait(self._wanted.connector, timeout_s=self._timeout_s, settle_s=3)

    def _restart(self) -> None:
        self._connect.restart(self._wanted.connector, only_failed=True)
        self._connect.wait(self._wanted.connector, timeout_s=self._timeout_s, settle_s=3)

    def _drop_slot(self) -> None:
        name = self._wanted.slot
        with self._replicating.session("dropping the slot") as connection:

            def is_free() -> bool:
                slot = replication.slot(connection, name)
                return slot is None or not slot.active

            def end_reader_and_look() -> bool:
                replication.end_reader(connection, name)
                return is_free()

            if not poll(is_free, timeout_s=_LET_GO_S, every_s=_POLL_S) and not poll(
                end_reader_and_look, timeout_s=self._timeout_s, every_s=_POLL_S
            ):
                raise UsageError(
                    f"slot {name} is still read, though connector {self._wanted.connector} is stopped: another "
                    "connector uses it; stop that one"
                )
            replication.drop_slot(connection, name)

    def _publish(self) -> None:
        with self._postgres.asking() as connection:
            tables = publication.unpublished(connection, self._wanted.publication, self._postgres.schema)
        if tables == ():
            return
        sql = publication.publish_sql(self._wanted.publication, self._postgres.schema, tables=tables)
        try:
            with self._replicating.session("publishing the tables") as connection:
                connection.execute(sql)
        except PostgresRefused as error:
            raise UsageError(
                f"{error}\nRun it as the owner of the tables, and this command again (or name such a role in --dsn):\n"
                f"{sql}"
            ) from error

    def _forget_horizon(self) -> None:
        with self._replicating.session("emptying the horizon") as connection:
            replication.forget_horizon(connection, self._postgres.schema)

    def _create_slot(self) -> None:
        with self._replicating.session("creating the slot", statement_timeout_s=0) as connection:
            if replication.slot(connection, self._wanted.slot) is None:
                replication.create_slot(connection, self._wanted.slot)

    def _set_offset(self) -> None:
        with self._postgres.asking() as connection:
            slot = replication.slot(connection, self._wanted.slot)
        if slot is None:
            raise UsageError(f"slot {self._wanted.slot} is gone again: another process dropped it")
        # No `lsn_proc` and no `lsn_commit`: Debezium then streams from `lsn` without looking for a message there.
        partition = {"server": self._wanted.config["topic.prefix"]}
        self._connect.set_offset(self._wanted.connector, partition, {"lsn": slot.confirmed})

    def _pass_versions(self) -> None:
        lsn = reached(self.look())
        with self._replicating.session("writing WAL") as connection:
            replication.pass_lsn(connection, lsn)

    def _stream(self) -> None:
        """Wait until the slot has passed this moment: the heartbeat takes it there on a quiet system, too."""
        with self._postgres.asking() as connection:
            end = replication.server(connection, self._postgres.schema).lsn
        moved, at, begun = time.monotonic(), -1, -1
        with Progress("stream", unit="bytes of WAL", show=self._show) as progress:

            def passed() -> bool:
                nonlocal moved, at, begun
                with self._postgres.asking() as connection:
                    slot = replication.slot(connection, self._wanted.slot)
                if slot is None or slot.lost:
                    return True  # the next look tells
                if slot.confirmed >= end and slot.active:
                    return True
                begun = slot.confirmed if begun < 0 else begun
                progress.set(slot.confirmed - begun, total=max(1, end - begun))
                if slot.confirmed != at:
                    moved, at = time.monotonic(), slot.confirmed
                status = self._connect.status(self._wanted.connector)
                if status is not None and status.failures:
                    raise ConnectError(f"connector {self._wanted.connector} failed: {'; '.join(status.failures)}")
                if time.monotonic() - moved > self._timeout_s:
                    raise ConnectError(
                        f"connector {self._wanted.connector} does not move on: its slot stands at "
                        f"{replication.text(slot.confirmed)} for {self._timeout_s:.0f} s; read Connect's log"
                    )
                return False

            poll(passed, timeout_s=math.inf, every_s=_POLL_S)  # as long as the slot moves


def position_of(offset: Mapping[str, Any]) -> Position | None:
    """An offset of Debezium as a position; None: it has no LSN."""
    if (lsn := lsn_of(offset)) is None:
        return None
    at_us = offset.get("ts_usec")
    snapshot = bool(offset.get("snapshot")) and not offset.get("snapshot_completed")
    return Position(lsn, None if at_us is None else int(at_us) // 1000, snapshot)


def _state(status: ConnectorStatus | None) -> str:
    if status is None:
        return "UNASSIGNED"
    if status.failures:
        return "FAILED"
    return status.state if status.running or status.state != "RUNNING" else "UNASSIGNED"
