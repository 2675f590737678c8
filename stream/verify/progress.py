"""How far a comparison is.

Neither store says how far an aggregation has come. So within a pass over a table the rows are estimated from the rate
of the passes before it. Each pass that ends corrects the figure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from stream.postgres.connection import Connection
from stream.postgres.defining_query import SourceSql
from stream.progress import Progress
from stream.scope import Scope
from stream.tables import Table

_ROWS_PER_S = 300_000  # rows/s of a pass, until one has been measured
_TICK_S = 0.5


class Stages:
    """The passes of one comparison, shown as one progress over rows; `close` it."""

    def __init__(self, *, show: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress = Progress("verify", unit="rows", show=show)
        self._progress.__enter__()
        self._clock = clock
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._total = self._done = self._shown = 0
        self._since = clock()
        self._rate = float(_ROWS_PER_S)
        self._pass_rows = 0
        self._note = ""
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if show:
            self._thread = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._thread.start()

    def plan(self, connection: Connection, source: SourceSql, scope: Scope) -> None:
        """Estimate the rows of all passes: each table once in Postgres, once in ClickHouse."""
        for table in scope.targets:
            row = connection.execute(
                "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %s::regclass",
                (source.table(table.source),),
            ).fetchone()
            self._sizes[table.target] = row[0] if row is not None else 0
        with self._lock:
            self._total = 2 * sum(self._sizes.values())
            self._begin(self._sizes[scope.targets[0].target], f"Postgres {scope.targets[0].source}")

    def postgres(self, table: Table, rows: int) -> None:
        """Note that a pass over a table of Postgres is over."""
        self._end(self._sizes.get(table.target, rows), f"after Postgres {table.source}")

    def clickhouse(self, table: Table, rows: int) -> None:
        """Note that a shard's pass over a table is over."""
        self._end(rows, f"after ClickHouse {table.target}")

    def waiting(self, why: str) -> None:
        """Show that the pipeline has not passed the snapshot yet."""
        with self._lock:
            self._note = f"waiting: {why}" if why else ""
            self._since = self._clock()

    def opening(self, wrong: int) -> None:
        """Show how many differing cells are opened."""
        with self._lock:
            self._note = f"going through cells that differ, {wrong:,} rows wrong so far"
            self._since, self._pass_rows = self._clock(), 0

    def close(self) -> None:
        """Stop showing."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._progress.__exit__(RuntimeError, None, None)  # the result says the rest

    def _begin(self, rows: int, note: str) -> None:
        self._pass_rows, self._note, self._since = rows, note, self._clock()

    def _end(self, rows: int, note: str) -> None:
        with self._lock:
            took = self._clock() - self._since
            if rows and took > 0.2:
                self._rate = rows / took
            self._done = min(self._total, self._done + rows)
            self._begin(self._total - self._done, note)

    def _tick(self) -> None:
        while not self._closed.wait(_TICK_S):
            with self._lock:
                guess = min(self._pass_rows * 0.95, (self._clock() - self._since) * self._rate)
                self._shown = max(self._shown, self._done + int(guess))
                self._progress.set(self._shown, total=max(self._total, 1), note=self._note)
