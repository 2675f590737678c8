"""ClickHouse over HTTP (clickhouse-connect): one client for each shard.

Enters: rows column by column, already split by shard. Leaves: nothing before all shards have acknowledged all rows.
Never decides which shard a row belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3.exceptions
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.batch import Key, Writes
from stream.config import ClickHouseSettings
from stream.errors import ClickHouseRefused, ClickHouseUnavailable, WriteMismatch
from stream.placement import month_of
from stream.reindex import Standing
from stream.tables import TARGETS, Table

T = TypeVar("T")

# Error codes that pass by themselves (ClickHouse, src/Common/ErrorCodes.cpp).
_TRANSIENT = {
    3: "UNEXPECTED_END_OF_FILE",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    473: "DEADLOCK_AVOIDED",
    999: "KEEPER_EXCEPTION",
    1000: "POCO_EXCEPTION",
    1001: "STD_EXCEPTION",
    1002: "UNKNOWN_EXCEPTION",
}
_NO_SCHEMA = {60: "UNKNOWN_TABLE", 81: "UNKNOWN_DATABASE", 16: "NO_SUCH_COLUMN_IN_TABLE"}
_SYSTEM = re.compile(r"\[Errno \d+\] [A-Za-z ]+")
_CODE = re.compile(r"\bCode:\s*(\d+)")


def connect(settings: ClickHouseSettings, shard: int, *, database: str | None = None) -> Any:
    """A clickhouse-connect client of shard number `shard`; close it after use.

    Args:
        shard: index into `settings.shards`.
        database: the session's database; default: the one of the settings. It need not exist when `""` is given.

    Raises:
        ClickHouseUnavailable: the shard does not answer.
        ClickHouseRefused: it does, and refuses (a wrong password, say).
    """
    url = urlsplit(settings.shards[shard])
    try:
        return clickhouse_connect.get_client(
            host=url.hostname or "127.0.0.1",
            port=url.port or (8443 if url.scheme == "https" else 8123),
            interface=url.scheme,
            username=settings.user,
            password=settings.password.get_secret_value(),
            database=settings.database if database is None else database,
            ca_cert=str(settings.ca_cert) if settings.ca_cert else None,
            connect_timeout=10,
            send_receive_timeout=settings.timeout_s,
            compress=False if settings.compression == "none" else settings.compression,
            native_codec="rust",
            autogenerate_session_id=False,
        )
    except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
        raise shard_error(settings, shard, error) from error


def shard_error(
    settings: ClickHouseSettings, shard: int, error: Exception
) -> ClickHouseUnavailable | ClickHouseRefused:
    """What an error of the client means; the text names the shard, and the way out where it is known."""
    text = _cause(error)
    where = f"ClickHouse shard {shard} ({settings.shards[shard]})"
    code = error_code(error)
    if code is None or code in _TRANSIENT:
        return ClickHouseUnavailable(f"{where}: {text[:400]}")
    hint = "; run `scorestream schema apply`" if code in _NO_SCHEMA else ""
    return ClickHouseRefused(f"{where}: {text[:400]}{hint}")


def _cause(error: Exception) -> str:
    """The first line of what the server said; of a lost connection only the operating system's words."""
    text = str(error).strip() or type(error).__name__
    system = _SYSTEM.search(text)
    return f"no connection: {system.group(0)}" if system else text.splitlines()[0]


def error_code(error: Exception) -> int | None:
    """ClickHouse's own number of an error, when the server sent one."""
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return code
    found = _CODE.search(str(error))
    return int(found.group(1)) if found else None


def visible(states: Iterable[tuple[Key, int, int, int]]) -> list[Standing]:
    """What FINAL shows, or may show, of (key, event time, version, deleted).

    Of equal versions ReplacingMergeTree keeps the row inserted last, and which that was cannot be seen: a row and a
    delete marker of one version count as a row. To mark it once more does no harm.
    """
    newest: dict[Key, tuple[int, int, int]] = {}
    for key, time_us, version, deleted in states:
        held = newest.get(key)
        if held is None or version > held[0] or (version == held[0] and not deleted):
            newest[key] = (version, deleted, time_us)
    return [Standing(key, time_us, version) for key, (version, deleted, time_us) in newest.items() if not deleted]


class ClickHouseTarget:
    """Writes to all shards at once; the clients are made when first needed, and again after an error.

    Not for several threads; `database` overrides the settings' one (a shadow database).
    """

    def __init__(self, settings: ClickHouseSettings, *, database: str | None = None) -> None:
        self._settings = settings
        self._database = database or settings.database
        self._clients: dict[tuple[int, str], Any] = {}  # a shard's tables are written at the same time
        self._threads = ThreadPoolExecutor(len(settings.shards) * len(TARGETS), thread_name_prefix="shard")

    def close(self) -> None:
        """Close the clients."""
        self._threads.shutdown(wait=True)
        for shard, table in list(self._clients):
            self._drop(shard, table)

    def write(self, writes: Writes) -> None:
        """Insert on all shards; returns when every one has acknowledged every row.

        Raises:
            ClickHouseUnavailable: a shard did not; some rows may be stored, and writing them again does no harm.
            ClickHouseRefused: a shard refused for good.
            WriteMismatch: a shard stored another number of rows than it was sent.
        """
        self._all([partial(self._insert, *job) for job in writes])

    def standing(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]:
        """The rows of these scorecards that are visible on any shard, in any ClickHouse partition.

        Args:
            ids: scorecard ids.
            customers: under which their rows may stand: the sort key starts with the customer. None: under any.
        """
        if not ids or (customers is not None and not customers):
            return []
        shards = range(len(self._settings.shards))
        found = self._all([partial(self._standing_on, shard, ids, customers) for shard in shards])
        return [row for rows in found for row in rows]

    def _standing_on(self, shard: int, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]:
        # One query for both tables, and no FINAL: for some thousand rows by key it costs twice what collapsing the
        # states here does.
        query = " UNION ALL ".join(
            f"SELECT '{table.target}', toString(customer_id), scorecard_id, {table.id}, "
            f"toUnixTimestamp64Micro(event_time), _version, _deleted FROM {self._database}.{table.target} "
            f"WHERE {'customer_id IN %(customers)s AND ' if customers is not None else ''}scorecard_id IN %(ids)s"
            for table in TARGETS
        )
        ask = methodcaller(
            "query",
            query,
            parameters={"customers": tuple(customers or ()), "ids": tuple(ids)},
            settings={"max_query_size": 16 << 20, "max_threads": 1},
        )
        states = (
            (
                Key(shard, target, customer_id, scorecard_id.int, own_id.int, month_of(time_us)),
                time_us,
                version,
                deleted,
            )
            for target, customer_id, scorecard_id, own_id, time_us, version, deleted in self._call(
                shard, TARGETS[0].target, ask
            ).result_rows
        )
        return visible(states)

    def _insert(self, shard: int, table: Table, columns: list[list[Any]]) -> None:
        rows = len(columns[0])
        summary = self._call(
            shard,
            table.target,
            lambda client: client.insert(
                table.target,
                columns,
                database=self._database,
                column_names=table.insert_columns,
                column_type_names=table.insert_types,
                column_oriented=True,
                settings={"async_insert": 0, "insert_deduplicate": 0},
            ),
        )
        if summary.written_rows != rows:
            raise WriteMismatch(
                f"ClickHouse shard {shard} ({self._settings.shards[shard]}): sent {rows} rows to "
                f"{self._database}.{table.target}, it says that it stored {summary.written_rows}"
            )

    def _call(self, shard: int, table: str, call: Callable[[Any], T]) -> T:
        try:
            client = self._clients.get((shard, table))
            if client is None:
                client = self._clients[shard, table] = connect(self._settings, shard, database="")
            return call(client)
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            self._drop(shard, table)
            raise shard_error(self._settings, shard, error) from error

    def _drop(self, shard: int, table: str) -> None:
        client = self._clients.pop((shard, table), None)
        if client is not None:
            client.close()

    def _all(self, jobs: list[Callable[[], T]]) -> list[T]:
        """Run the jobs at the same time; the first error is raised when all have ended."""
        if len(jobs) == 1:
            return [jobs[0]()]
        futures = [self._threads.submit(job) for job in jobs]
        for future in futures:
            future.exception()
        return [future.result() for future in futures]
