"""What a soak samples: memory, file descriptors and connections of each process; parts, slot and lag of the path.

Enters: the processes and the stores. Leaves: series of samples (drills/soak/trend.py). A part that is away has no
sample, and no sample is no zero.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import psutil
import psycopg
from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client.samples import Sample as Metric
from urllib3.exceptions import HTTPError

from devstack.stack import Stack
from drills.background import Background
from drills.soak.kept import Kept, Processes, total
from drills.soak.trend import Sample, Trend, trend
from drills.workers import Supervised
from testbed import oracle
from testbed.universe import Universe

# Group of series -> unit, and the growth that is always allowed: below it lies what any process does.
GROUPS: dict[str, tuple[str, float]] = {
    "memory": ("MB", 16),
    "descriptors": ("files", 5),
    "connections": ("connections", 5),
    "parts": ("parts", 20),
    "slot": ("MB", 32),
    "lag": ("s", 1),
    "waiting": ("messages", 100),
}
# Of the monitor.
_SCRAPED = {"lag": "scorestream_freshness_seconds", "waiting": "scorestream_consumer_lag_messages"}
_AWAY = (psutil.Error, psycopg.Error, ClickHouseError, HTTPError, OSError)
_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename IN ('scorestream_cdc', 'scorestream_reader')"
)
_RETAINED = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots WHERE slot_name = %s"


class Gauges(Background):
    """A thread that samples every `every_s` seconds, while a block runs.

    Attributes:
        series: by (group, name).
        metrics: what the monitor and verify served at the last sample, by name.
        then: called after each sample, in the thread.
    """

    def __init__(self, universe: Universe, stack: Stack, processes: Processes, *, every_s: float) -> None:
        super().__init__()
        self._universe, self._stack, self._processes, self._every_s = universe, stack, processes, every_s
        self._began = time.monotonic()
        self.series: dict[tuple[str, str], list[Sample]] = {}
        self.metrics: dict[str, list[Metric]] = {}
        self.then: Callable[[], None] = lambda: None

    def elapsed_s(self) -> float:
        """Seconds since the beginning of the run."""
        return time.monotonic() - self._began

    def last(self, group: str, name: str) -> float | None:
        """The newest value of a series; None without any."""
        found = self.series.get((group, name))
        return found[-1].value if found else None

    def sample(self) -> None:
        """Look once at everything."""
        for look in self._looks():
            with contextlib.suppress(*_AWAY):
                look()

    def trends(self, run_s: float) -> list[Trend]:
        """How each series went."""
        return [
            trend(f"{group} {name}", samples, unit=GROUPS[group][0], allowance=GROUPS[group][1], run_s=run_s)
            for (group, name), samples in sorted(self.series.items())
        ]

    def _looks(self) -> Iterator[Callable[[], None]]:
        for name, worker in self._processes.workers.items():
            yield partial(self._worker, name, worker)
        for name, kept in self._processes.kept.items():
            yield partial(self._command, name, kept)
            yield partial(self._scraped, name, kept)
        for name in self._stack.parts:
            yield partial(self._part, name)
        yield self._postgres
        yield self._parts

    def _add(self, group: str, name: str, value: float, *, life: int = 0) -> None:
        self.series.setdefault((group, name), []).append(Sample(self.elapsed_s(), life, float(value)))

    def _worker(self, name: str, worker: Supervised) -> None:
        if (pid := worker.child()) is not None:
            self._process(name, psutil.Process(pid))

    def _command(self, name: str, kept: Kept) -> None:
        self._process(name, kept.process())

    def _process(self, name: str, process: psutil.Process) -> None:
        self._add("memory", name, process.memory_info().rss / 1e6, life=process.pid)
        self._add("descriptors", name, process.num_fds(), life=process.pid)

    def _part(self, name: str) -> None:
        part = self._stack.parts[name]
        family = part.process.family()
        if not family:
            return
        life = family[0].pid
        self._add("memory", name, part.process.memory_mb(), life=life)
        self._add("descriptors", name, sum(each.num_fds() for each in family), life=life)
        if name != "postgres":  # Postgres says by itself whose they are
            self._add("connections", name, _connections(family[0], part.port), life=life)

    def _postgres(self) -> None:
        name = self._universe.name
        with self._universe.postgres() as connection:
            ((count,),) = connection.execute(_CONNECTIONS, (name,)).fetchall()
            self._add("connections", "postgres", count)
            for (retained,) in connection.execute(_RETAINED, (name,)).fetchall():
                self._add("slot", "retained", float(retained) / 1e6)

    def _parts(self) -> None:
        for shard, url in enumerate(self._universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")):
            client = oracle.client_of(url, self._universe.env)
            try:
                # A shadow's database begins with the same name.
                query = (
                    f"SELECT count() FROM system.parts WHERE active AND startsWith(database, '{self._universe.name}')"
                )
                self._add("parts", f"clickhouse-{shard}", client.query(query).result_rows[0][0])
            finally:
                client.close()

    def _scraped(self, name: str, kept: Kept) -> None:
        found = self.metrics[name] = kept.metrics()
        for group, metric in _SCRAPED.items():
            value = total(found, metric)
            if value is not None:
                self._add(group, "live", value)

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            self.sample()
            self.then()
            if self._stop.wait(max(0.0, self._every_s - (time.monotonic() - began))):
                return


def _connections(process: psutil.Process, port: int) -> int:
    """Established connections to a port, without those of this program."""
    mine = {each.laddr for each in psutil.Process(os.getpid()).net_connections("tcp")}
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port and each.raddr not in mine
        for each in process.net_connections("tcp")
    )
