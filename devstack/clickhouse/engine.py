"""chdb: handles on one data path, sessions, settings. No other file of the package calls it.

A handle is a session of the engine: it serialises its calls, keeps SETs, the current database and temporary tables.
Requests without a session share a pool of handles; a request with a `session_id` has that session's own. A request gets
a handle that has its settings already, if there is one. Each SET is a statement, and costs as much as a small query.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chdb import _chdb  # the class over it in chdb.state only adds notebooks and pandas

from devstack.clickhouse.errors import ServerError, from_engine
from devstack.clickhouse.spread import spread

POOL = 16
SESSION_TIMEOUT_S = 60.0
RELEASE_S = 0.1  # a client that has its answer may ask again before the session is given back
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Stats:
    """A statement's figures. `read_*` counts rows of storage, `result_*` those for the client."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0

    def __add__(self, other: Stats) -> Stats:
        return Stats(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)


class Handle:
    """One session of the engine, with its settings."""

    def __init__(self, path: Path) -> None:
        self.native = _chdb.connect(str(path))
        self.database = "default"
        self.own_database = "default"  # the database of the session's last USE
        self.settings: dict[str, str] = {}
        self.own_settings: dict[str, str] = {}  # the settings of the session's SETs
        self.fresh = True
        self.spoilt = False  # it holds state that the next request must not see; a pool's handle is closed then
        self.busy = True
        self.used_at = time.monotonic()
        self.timeout_s = SESSION_TIMEOUT_S

    def is_arranged(self, database: str | None, settings: Mapping[str, str]) -> bool:
        """True when `arrange` has nothing to do."""
        return (database or self.own_database) == self.database and self.own_settings | settings == self.settings

    def arrange(self, database: str | None, settings: Mapping[str, str]) -> None:
        """Make the current database and the settings those of the request, with as few statements as possible."""
        database = database or self.own_database
        if database != self.database:
            self._run(f"USE {quoted(database)}")
            self.database = database
        wanted = self.own_settings | settings
        if wanted == self.settings:
            return
        # One at a time: when a SET fails, the ones before it are known.
        for name in [name for name in self.settings if name not in wanted]:
            self._run(f"SET {name} = DEFAULT")
            del self.settings[name]
        for name, value in wanted.items():
            if not _SETTING.fullmatch(name):
                raise ServerError(115, f"Unknown setting '{name}'")
            if self.settings.get(name) != value:
                self._run(f"SET {name} = {literal(value)}")
                self.settings[name] = value

    def remember(self) -> None:
        """Note a USE or SET: the session keeps it from now on. Without a session it is lost."""
        self.spoilt = True
        self.own_database = self.database = self._run("SELECT currentDatabase()").decode().strip()
        changed = self._run("SELECT name, value FROM system.settings WHERE changed").decode().splitlines()
        self.own_settings = dict(line.split("\t", 1) for line in changed)
        self.settings = dict(self.own_settings)

    def run(self, sql: str, form: str, params: Mapping[str, str]) -> tuple[bytes, Stats]:
        """Run a statement to its end; its output and what it did."""
        try:
            result = self.native.query(sql, form, params=dict(params))
        except RuntimeError as error:
            raise from_engine(error) from error
        if result.has_error():
            raise from_engine(RuntimeError(result.error_message()))
        return bytes(result.bytes()), _stats(result)

    def stream(self, sql: str, form: str, params: Mapping[str, str]) -> Generator[tuple[bytes, Stats]]:
        """Run a SELECT; its output block by block. Closing the iterator cancels the query."""
        try:
            stream = self.native.send_query(sql, form, params=dict(params))
        except RuntimeError as error:
            raise from_engine(error) from error
        ended = False
        try:
            while True:
                result = self.native.streaming_fetch_result(stream)
                if result.has_error():
                    ended = True
                    raise from_engine(RuntimeError(result.error_message()))
                if not result.size():
                    ended = True
                    return
                yield bytes(result.bytes()), _stats(result)
        except RuntimeError as error:
            ended = True
            raise from_engine(error) from error
        finally:
            if not ended:
                self.native.streaming_cancel_query(stream)

    def insert(self, head: str, form: str, data: list[bytes]) -> Stats:
        """Write `data`, bytes in `form`, all or nothing of them (below a million rows, as in the real server).

        It uses a file. The engine's own streaming insert acknowledges rows whose block a table then refuses (error 252,
        a constraint), and stores none of them.
        """
        with tempfile.NamedTemporaryFile(dir=_memory(), prefix="scorestream-insert-") as body:
            body.writelines(data)
            body.flush()
            return self.run(f"{head} FROM INFILE {literal(body.name)} COMPRESSION 'none' FORMAT {form}", "Null", {})[1]

    def bind(self, params: Mapping[str, str]) -> None:
        """Parameters for an INSERT, which takes none itself."""
        self.spoilt = True
        self._run("SET " + ", ".join(f"param_{name} = {literal(value)}" for name, value in params.items()))

    def classify(self, sql: str) -> tuple[str, int]:
        """READ_ONLY, MUTATING, CONTROL, ...; and the number of statements."""
        found = self.native.classify_query(sql)
        return found["query_class"].name, found["statement_count"]

    def close(self) -> None:
        with suppress(RuntimeError):
            self.native.close()

    def _run(self, sql: str) -> bytes:
        return self.run(sql, "TabSeparatedRaw", {})[0]


class Engine:
    """All handles on one path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[Handle] = []
        self._open = 0
        self._sessions: dict[str, Handle] = {}
        self._changed = threading.Condition()
        with self.lease() as handle:
            self.version = handle.run("SELECT version()", "TabSeparatedRaw", {})[0].decode().strip()
            self.timezone = handle.run("SELECT timezone()", "TabSeparatedRaw", {})[0].decode().strip()
            self.host = handle.run("SELECT hostName()", "TabSeparatedRaw", {})[0].decode().strip()

    @contextmanager
    def lease(
        self,
        session: str | None = None,
        *,
        timeout_s: float = SESSION_TIMEOUT_S,
        database: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[Handle]:
        """A handle for one request: of the pool, or of the session. The caller calls `handle.arrange`.

        Args:
            database, settings: those of the request.

        Raises:
            ServerError: another request is using the session.
        """
        handle = self._take(session, timeout_s, database, settings or {})
        try:
            yield handle
        finally:
            self._give_back(session, handle)

    def tables_made(self) -> None:
        """Note that a statement may have made tables."""
        spread(self._path)

    def close(self) -> None:
        """Close the handles that are not in use."""
        with self._changed:
            for handle in (*self._idle, *(h for h in self._sessions.values() if not h.busy)):
                handle.close()
            self._idle.clear()

    def _take(self, session: str | None, timeout_s: float, database: str | None, settings: Mapping[str, str]) -> Handle:
        with self._changed:
            self._expire()
            if session is not None:
                if (known := self._sessions.get(session)) is None:
                    known = self._sessions[session] = Handle(self._path)
                elif known.busy and not self._changed.wait_for(lambda: not known.busy, RELEASE_S):
                    raise ServerError(373, f"Session {session} is locked by a concurrent client")
                known.busy, known.timeout_s = True, timeout_s
                return known
            while not self._idle and self._open >= POOL:
                self._changed.wait()
            for at, idle in enumerate(self._idle):
                if idle.is_arranged(database, settings):
                    return self._idle.pop(at)
            if self._open < POOL:
                self._open += 1
                return Handle(self._path)
            return self._idle.pop(0)  # the handle that was idle for the longest time

    def _give_back(self, session: str | None, handle: Handle) -> None:
        with self._changed:
            handle.busy, handle.used_at = False, time.monotonic()
            self._changed.notify_all()
            if session is not None:
                return
            if handle.spoilt:
                handle.close()
                self._open -= 1
            else:
                self._idle.append(handle)

    def _expire(self) -> None:
        now = time.monotonic()
        old = [name for name, h in self._sessions.items() if not h.busy and now - h.used_at > h.timeout_s]
        for name in old:
            self._sessions.pop(name).close()


@cache
def _memory() -> str | None:
    """A folder in memory for the bodies of inserts; None: the system's own for temporary files."""
    folder = Path("/dev/shm")
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK) else None


def literal(value: str) -> str:
    """A SQL string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _stats(result: Any) -> Stats:
    return Stats(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        result_bytes=result.bytes_read(),
    )
