"""Heartbeat messages -> the table `heartbeat` of every shard: the last stretch of the canary's way (stream/canary.py).

Enters: raw values of the topic <prefix>.<schema>.scorestream_heartbeat. Leaves: the newest beat of each id on every
shard. A message that is no beat is skipped: the canary carries nothing but itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.clickhouse import connect, shard_error
from stream.config import ClickHouseSettings

TABLE = "heartbeat"


class Beat(NamedTuple):
    """One beat, as Postgres committed it."""

    id: int
    beat: int
    at: datetime


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
        if row is not None and at is not None and (row.id not in newest or newest[row.id].beat < row.beat):
            newest[row.id] = Beat(row.id, row.beat, at)
    return list(newest.values())


class HeartbeatTarget:
    """Writes beats to every shard. For one thread; `close` it."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._clients: dict[int, Any] = {}

    def write(self, values: Iterable[bytes | None]) -> int:
        """Write the newest beats of these messages; returns how many there were.

        Raises:
            ClickHouseUnavailable: a shard did not acknowledge; writing again does no harm.
            ClickHouseRefused: it refused for good (the table is missing: `scorestream schema apply`).
        """
        found = beats(values)
        if found:
            for shard in range(len(self._settings.shards)):
                self._insert(shard, found)
        return len(found)

    def close(self) -> None:
        """Close the clients."""
        for shard in list(self._clients):
            self._clients.pop(shard).close()

    def _insert(self, shard: int, found: list[Beat]) -> None:
        try:
            if shard not in self._clients:
                self._clients[shard] = connect(self._settings, shard)
            self._clients[shard].insert(TABLE, found, column_names=list(Beat._fields))
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            client = self._clients.pop(shard, None)
            if client is not None:
                client.close()
            raise shard_error(self._settings, shard, error) from error
