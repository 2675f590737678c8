"""Heartbeat messages -> the table `heartbeat` of every shard: the last stretch of the canary's way.

    agent of the heartbeat topic --offer, acknowledged at once--> a thread for each shard --insert--> heartbeat

Enters: raw values of the topic <prefix>.<schema>.scorestream_heartbeat. Leaves: the newest beat of each id on every
shard. A message that is not a beat is skipped: the canary carries only its own row. It never ends a worker, and no
other thread waits for it. A failure is counted, logged once, and tried again with the next beat, which comes within
seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from stream import metrics
from stream.clickhouse.shards import Shards
from stream.errors import ScorestreamError

log = logging.getLogger(__name__)

TABLE = "heartbeat"
TIMEOUT_S = 5.0  # limit of one insert; the next beat has arrived by then
_NEWEST = 10  # values kept of a backlog: the topic has one partition, so the newest come last
_CLOSE_S = 1.0


class Beat(NamedTuple):
    """One beat, as Postgres committed it."""

    id: int
    beat: int
    at: datetime


# The insert names the columns, so that it need not ask for them first.
_TYPES = ("Int16", "Int64", "DateTime64(6, 'UTC')")


class _Row(msgspec.Struct):
    id: int
    beat: int
    at: str


class _Change(msgspec.Struct):
    after: _Row | None = None


_DECODER = msgspec.json.Decoder(_Change)


def beats(values: Iterable[bytes | None]) -> list[Beat]:
    """The newest beat of each id among these messages."""
    newest: dict[int, Beat] = {}
    for value in values:
        if value is None:
            continue
        try:
            row = _DECODER.decode(value).after
            at = datetime.fromisoformat(row.at).astimezone(UTC) if row is not None else None
        except (msgspec.MsgspecError, ValueError):
            continue
        if (
            row is not None
            and at is not None
            and (row.id not in newest or (newest[row.id].at, newest[row.id].beat) < (at, row.beat))
        ):
            newest[row.id] = Beat(row.id, row.beat, at)
    return list(newest.values())


class Heartbeats:
    """Carries beats to all shards. Any thread may call `offer`; `close` it."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._carriers = [_Carrier(shards, shard) for shard in range(shards.count)]

    def offer(self, values: Iterable[bytes | None]) -> None:
        """Queue these messages. It returns at once and raises nothing. Beats that still wait give way to them."""
        newest = list(values)[-_NEWEST:]
        for carrier in self._carriers:
            carrier.offer(newest)

    def close(self) -> None:
        """Stop, without waiting for an insert that hangs."""
        for carrier in self._carriers:
            carrier.stop()
        for carrier in self._carriers:
            carrier.join()
        self._shards.close()


class _Carrier:
    """The thread of one shard, so that a shard that hangs delays no beat of the others."""

    def __init__(self, shards: Shards, shard: int) -> None:
        self._shards = shards
        self._shard = shard
        self._failing = False
        self._stopping = False
        self._waiting: list[bytes | None] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{shard}", daemon=True)
        self._thread.start()

    def offer(self, values: list[bytes | None]) -> None:
        with self._changed:
            self._waiting = values
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self) -> None:
        self._thread.join(timeout=_CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    break
                values, self._waiting = self._waiting, []
            self._carry(values)

    def _carry(self, values: list[bytes | None]) -> None:
        try:
            if not (found := beats(values)):
                return
            self._insert(found)
        except ScorestreamError as error:
            self._failed(str(error))
        except Exception as error:
            log.debug("heartbeat", exc_info=True)
            self._failed(f"{type(error).__name__}: {error}")
        else:
            metrics.HEARTBEATS.labels(str(self._shard), "written").inc()
            if self._failing:
                log.info("heartbeats come through again", extra={"shard": self._shard})
            self._failing = False

    def _failed(self, cause: str) -> None:
        metrics.HEARTBEATS.labels(str(self._shard), "failed").inc()
        if not self._failing:
            log.warning(
                "heartbeat not written, trying again with the next", extra={"shard": self._shard, "cause": cause}
            )
        self._failing = True

    def _insert(self, found: list[Beat]) -> None:
        """Write beats to the shard.

        Raises:
            ClickHouseUnavailable: a later try may help.
            ClickHouseRefused: the table is missing (`scorestream schema apply`), or the user may not write to it.
        """
        with self._shards.client(self._shard) as client:
            client.insert(
                TABLE, found, database=self._shards.database, column_names=Beat._fields, column_type_names=_TYPES
            )
