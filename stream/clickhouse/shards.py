"""The shards: one HTTP client for each call under way, kept open; errors by their code (error_codes.py).

Enters: statements and queries, each for one shard by its number. Leaves: rows, or an error that names the shard. Never
decides which shard a row belongs to.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
import urllib3.exceptions
from clickhouse_connect.driver import options as optional
from clickhouse_connect.driver.exceptions import ClickHouseError

from stream.clickhouse.error_codes import Sort, code_of, hint, is_elsewhere, is_login, sort
from stream.clickhouse.replicas import make_consistent
from stream.clickhouse.running import Running
from stream.errors import ClickHouseRefused, ClickHouseUnavailable
from stream.settings_sections import ClickHouseSettings
from stream.tables import SCORECARD

log = logging.getLogger(__name__)
T = TypeVar("T")
Rows = Sequence[Sequence[Any]]

PATIENCE_S = 1800.0  # seconds for one call that reads a whole table
_SYSTEM = re.compile(r"\[Errno \d+\] [A-Za-z ]+")
_LATE = re.compile(r"Read timed out\. \(read timeout=([\d.]+)\)")
_FAILURES = (ClickHouseError, urllib3.exceptions.HTTPError, OSError)


class Shards:
    """All shards of the settings. For any thread, `with`-able.

    Args:
        database: another than the settings' database (a shadow). It need not exist.
        patient: for passes over whole tables: a call may take half an hour.
        timeout_s: limit of one call, where it is below the settings' limit.
    """

    def __init__(
        self,
        settings: ClickHouseSettings,
        *,
        database: str | None = None,
        patient: bool = False,
        timeout_s: float | None = None,
    ) -> None:
        limit_s = min(settings.timeout_s, timeout_s or settings.timeout_s)
        self.settings = settings.model_copy(update={"timeout_s": max(limit_s, PATIENCE_S if patient else 0.0)})
        self.database = database or settings.database
        self.count = len(settings.shards)
        self.urls: tuple[str, ...] = tuple(settings.shards)
        self.replicas = [settings.replicas(shard) for shard in range(self.count)]
        self._idle: list[deque[tuple[int, Any]]] = [deque() for _ in range(self.count)]  # (replica, client)
        self._replica = [0] * self.count  # the one that is used: all calls of a process go to the same
        self._running = Running()
        self._threads: list[ThreadPoolExecutor] = []
        self._lock = threading.Lock()
        self._known: set[int] = set()  # shards that have taken the credentials once

    def of(self, database: str) -> Shards:
        """The same clients, another database. Closing either closes both."""
        other = object.__new__(Shards)
        other.__dict__ = self.__dict__ | {"database": database}
        return other

    def ask(
        self,
        shard: int,
        query: str,
        values: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
    ) -> Rows:
        """The rows of a query on one shard.

        Args:
            query: `{database}` in it is filled in.
            values: the query's parameters.
            settings: ClickHouse's settings for this query.

        Raises:
            ClickHouseUnavailable, ClickHouseRefused: the text names the shard.
        """
        with self.client(shard) as client, self._running.query(shard, self._replica[shard], settings) as named:
            rows: Rows = client.query(self._filled(query), parameters=values, settings=named).result_rows
            return rows

    def command(self, shard: int, sql: str, *, settings: Mapping[str, Any] | None = None) -> None:
        """Run a statement that returns no rows. `{database}` in it is filled in; raises as `ask`."""
        with self.client(shard) as client:
            client.command(self._filled(sql), settings=dict(settings or {}))

    def everywhere(
        self, query: str, values: Mapping[str, Any] | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query on all shards, asked at the same time; each row starts with its shard's number."""
        answers = self.each(lambda shard: self.ask(shard, query, values, settings=settings))
        return [(shard, *row) for shard, rows in enumerate(answers) for row in rows]

    def each(self, call: Callable[[int], T], shards: Sequence[int] | None = None) -> list[T]:
        """Run `call(shard)` for all shards, or for these, at the same time.

        The first error is raised when all calls have ended.
        """
        chosen = range(self.count) if shards is None else shards
        if len(chosen) == 1:
            return [call(chosen[0])]
        with self._lock:
            if not self._threads:
                self._threads.append(ThreadPoolExecutor(4 * self.count, thread_name_prefix="shard"))
        futures = [self._threads[0].submit(call, shard) for shard in chosen]
        for future in futures:
            future.exception()
        return [future.result() for future in futures]

    def blocks(
        self,
        shard: int,
        query: str,
        values: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        formats: Mapping[str, str] | None = None,
    ) -> Iterator[Rows]:
        """The rows of a query on one shard, block by block: for results that are too large for memory.

        Args:
            formats: clickhouse-connect's `query_formats`.
        """
        with (
            self.client(shard) as client,
            self._running.query(shard, self._replica[shard], settings) as named,
            client.query_row_block_stream(
                self._filled(query),
                parameters=values,
                settings=named,
                query_formats=formats,
            ) as stream,
        ):
            yield from stream

    @contextmanager
    def client(self, shard: int) -> Iterator[Any]:
        """A clickhouse-connect client for one call. When the call fails, the client is closed.

        Raises:
            ClickHouseUnavailable, ClickHouseRefused: the client's error, by the meaning of its code.
        """
        replica, client = self._take(shard)
        try:
            yield client
        except _FAILURES as error:
            client.close()
            if is_elsewhere(error):
                self._go_on_from(shard, replica)
            raise self._failure(shard, error) from error
        except BaseException:
            client.close()
            raise
        self._known.add(shard)
        self._idle[shard].append((replica, client))

    @contextmanager
    def server(self, shard: int, replica: int) -> Iterator[Any]:
        """A client of this replica, and of no other one. Raises as `client`."""
        with closing(connect(self.settings, shard, database="", replica=replica)) as client:
            try:
                yield client
            except _FAILURES as error:
                raise shard_error(self.settings, shard, error) from error

    def on_replicas(self, shard: int, sql: str) -> None:
        """Run a statement on every replica of a shard that answers; `{database}` in it is filled in.

        Raises:
            ClickHouseUnavailable: none answers.
            ClickHouseRefused: one of them refuses.
        """
        away: list[ClickHouseUnavailable] = []
        urls = self.replicas[shard]
        for replica, url in enumerate(urls):
            try:
                with closing(connect(self.settings, shard, database="", replica=replica)) as client:
                    client.command(self._filled(sql))
            except _FAILURES as error:
                raise shard_error(self.settings, shard, error) from error
            except ClickHouseUnavailable as error:
                away.append(error)
                if len(away) == len(urls):
                    raise
                log.warning("replica does not answer", extra={"shard": shard, "replica": url, "cause": str(error)})

    def _take(self, shard: int) -> tuple[int, Any]:
        """A client of the replica in use, or of the next one that answers."""
        idle = self._idle[shard]
        while idle:
            replica, client = idle.pop()
            if replica == self._replica[shard]:
                return replica, client
            client.close()
        first, count = self._replica[shard], len(self.replicas[shard])
        for replica in [(first + n) % count for n in range(count)]:
            try:
                client = connect(self.settings, shard, database="", replica=replica)
            except ClickHouseRefused as error:
                raise self._failure(shard, error.__cause__) from error
            except ClickHouseUnavailable as error:
                if replica == (first - 1) % count:
                    raise
                fields = {"shard": shard, "replica": self.replicas[shard][replica], "cause": str(error)}
                log.warning("replica does not answer, trying the next", extra=fields)
            else:
                self._replica[shard] = replica
                return replica, client
        raise AssertionError("a shard has at least one replica")

    def _failure(self, shard: int, error: BaseException | None) -> ClickHouseUnavailable | ClickHouseRefused:
        """What an error of the client means. A password that was taken before is being rotated: that passes."""
        assert isinstance(error, Exception)
        told = shard_error(self.settings, shard, error)
        return ClickHouseUnavailable(str(told)) if shard in self._known and is_login(error) else told

    def _go_on_from(self, shard: int, replica: int) -> None:
        """From the next call on another replica is tried first, unless one is in use that did not fail."""
        if self._replica[shard] == replica:
            self._replica[shard] = (replica + 1) % len(self.replicas[shard])

    def connect(self, shard: int) -> None:
        """Open a client beforehand, so that the next call does not wait for it. Raises as `client`."""
        with self.client(shard):
            pass

    def where(self, shard: int) -> str:
        """The shard's name in texts."""
        return f"ClickHouse shard {shard} ({self.urls[shard]})"

    def cancel(self) -> None:
        """End the queries that run now, and send no more: each raises where it was sent. From any thread, in 2 s."""
        self._running.kill(self.server)

    def close(self) -> None:
        """Close the clients; a later call opens new ones."""
        with self._lock:
            threads, self._threads[:] = list(self._threads), []
        for pool in threads:
            pool.shutdown()
        for idle in self._idle:
            while idle:
                idle.pop()[1].close()

    def _filled(self, text: str) -> str:
        return text.replace("{database}", self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def leave_pandas_out() -> None:
    """Keep clickhouse-connect from importing pandas and numpy, in a process that indexes.

    Importers of this package keep them. Rows are lists here. Yet the client would import both at its first insert, only
    to see that the rows are no data frame. That costs 80 MB and up to a second.
    """
    vars(optional).setdefault("pd", None)
    vars(optional).setdefault("np", None)


def connect(settings: ClickHouseSettings, shard: int, *, database: str | None = None, replica: int = 0) -> Any:
    """A clickhouse-connect client of shard number `shard`; close it after use.

    On Replicated tables it reads and writes by quorum (replicas.py).

    Args:
        shard: index into `settings.shards`.
        database: the session's database; default: that of the settings. With `""` it need not exist.
        replica: index into the shard's replicas. `Shards` goes on to the next when one does not answer.

    Raises:
        ClickHouseUnavailable: the replica does not answer.
        ClickHouseRefused: the replica refuses, for example a wrong password.
    """
    url = urlsplit(settings.replicas(shard)[replica])
    try:
        client = clickhouse_connect.get_client(
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
    except _FAILURES as error:
        raise shard_error(settings, shard, error) from error
    try:
        make_consistent(client, settings.database, SCORECARD.target)
    except _FAILURES as error:
        client.close()
        raise shard_error(settings, shard, error) from error
    return client


def shard_error(
    settings: ClickHouseSettings, shard: int, error: Exception
) -> ClickHouseUnavailable | ClickHouseRefused:
    """What an error of the client means. The text names the shard, and the way out where it is known."""
    text = _cause(error)
    message = f"ClickHouse shard {shard} ({settings.shards[shard]}): {text[:400]}"
    code = code_of(error)
    if sort(code, str(error)) is Sort.PASSING:
        return ClickHouseUnavailable(message)
    next_step = hint(code, str(error))
    return ClickHouseRefused(f"{message}; {next_step}" if next_step else message)


def _cause(error: Exception) -> str:
    """The first line of the server's answer; for a lost connection only the operating system's words."""
    text = str(error).strip() or type(error).__name__
    if late := _LATE.search(text):
        return f"no answer within {late.group(1)} s"
    system = _SYSTEM.search(text)
    return f"no connection: {system.group(0)}" if system else text.splitlines()[0]
