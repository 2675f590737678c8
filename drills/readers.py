"""Readers during a drill: counts that must never fall, and how long each commit takes to be visible.

They read a customer whose rows only grow: no other writer changes them. So a count that falls is a hole that a reader
sees.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg

from testbed import oracle
from testbed.universe import Universe
from testbed.workload import START

CUSTOMER = "grows"
EVERY_S = 0.2  # between two commits
_CHATS = [str(uuid4()) for _ in range(8)]  # days of the commits, so that both shards have some
# All are counted. Only those that are still awaited are named, so that reading does not become the load.
_COUNT = (
    "SELECT count(), groupArrayIf(toString(scorecard_id), has(%(waiting)s, toString(scorecard_id))) "
    "FROM {database}.scorecard_current WHERE customer_id = '{customer}'"
)
READ_S = 0.15  # between two reads of a shard


class Readers:
    """A thread that commits and one that reads for each shard, while a block runs.

    Attributes:
        latencies: (when it was committed, seconds until a shard showed it), by time.monotonic.
        dips: (shard, rows before, rows now), each time that a shard showed fewer.
    """

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._stop, self._enough = threading.Event(), threading.Event()
        self._pending: dict[str, float] = {}
        self.latencies: list[tuple[float, float]] = []
        self.dips: list[tuple[str, int, int]] = []
        self.reads = 0
        self.errors: list[str] = []
        urls = universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")
        self._threads = [threading.Thread(target=self._read, args=(url,), daemon=True) for url in urls]
        self._threads.append(threading.Thread(target=self._commit, daemon=True))

    def __enter__(self) -> Readers:
        with self._universe.postgres() as connection:
            for day, chat in enumerate(_CHATS):
                at = START + timedelta(days=day, hours=2)
                connection.execute("INSERT INTO app.chats VALUES (%s, %s, NULL, %s, NULL)", (chat, CUSTOMER, at))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_committing()
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def stop_committing(self) -> None:
        """Stop committing; the counts go on."""
        self._enough.set()

    @property
    def unseen(self) -> int:
        """Commits that no shard has shown yet."""
        return len(self._pending)

    def _commit(self) -> None:
        with self._universe.postgres() as connection:
            number = 0
            while not self._enough.wait(EVERY_S):
                number += 1
                scorecard = str(uuid4())
                try:
                    connection.execute(
                        "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, conversation_id) "
                        "VALUES (%s, %s, %s, %s)",
                        (scorecard, CUSTOMER, uuid4(), _CHATS[number % len(_CHATS)]),
                    )
                except psycopg.Error as error:
                    self.errors.append(f"commit: {error}")
                    return
                self._pending[scorecard] = time.monotonic()

    def _read(self, url: str) -> None:
        client: Any = oracle.client_of(url, self._universe.env)
        query = _COUNT.format(database=self._universe.name, customer=CUSTOMER)
        most = 0
        try:
            while not self._stop.wait(READ_S):
                waiting = [*self._pending, ""]  # ClickHouse knows no type of an empty list
                ((count, shown),) = client.query(query, parameters={"waiting": waiting}).result_rows
                self.reads += 1
                now = time.monotonic()
                if count < most:
                    self.dips.append((url, most, count))
                most = max(most, count)
                for scorecard in shown:
                    committed = self._pending.pop(scorecard)
                    self.latencies.append((committed, now - committed))
        except Exception as error:
            self.errors.append(f"{url}: {error}")
        finally:
            client.close()


def p99(latencies: list[float]) -> float | None:
    """Seconds; None without any."""
    return sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * 0.99))] if latencies else None


def p50(latencies: list[float]) -> float | None:
    """Seconds; None without any."""
    return sorted(latencies)[len(latencies) // 2] if latencies else None
