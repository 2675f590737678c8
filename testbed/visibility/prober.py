"""Commit -> visible: polls the tables of all shards for committed changes, and measures when each could be seen.

A change counts as visible when ClickHouse has acknowledged the insert (acks.py), and a query of this reader has shown
it. The reader shares nothing with the worker. To poll often enough for the times of the queries themselves was tried.
On two cores they took as much of ClickHouse as the indexing, and each added its own pause.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.clickhouse.shards import connect
from stream.pipeline.placement import month_of, shard_of
from stream.settings_sections import ClickHouseSettings
from testbed.traffic.seen import Seen
from testbed.visibility.acks import Acks

POLL_S = 1.0
AT_ONCE = 200  # ids in one poll; when ClickHouse is far behind, the oldest come first


@dataclass(frozen=True, slots=True)
class Latency:
    """One sampled change that was seen."""

    customer_id: str
    kind: str
    committed: float  # time.perf_counter()
    ms: float


@dataclass(frozen=True, slots=True)
class _Row:
    event_us: int
    updated_us: int
    stored_at: float = 0.0  # seconds since 1970, by ClickHouse's clock
    shard: int = 0
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class _Pending:
    seen: Seen
    committed: float


@dataclass(frozen=True, slots=True)
class _Shown:
    """A change that was seen, whose batch may still be under way."""

    change: _Pending
    answered: float
    states: list[_Row]  # inserts that make it so


class Prober:
    """Polls in a thread of its own between `start` and `stop`.

    Args:
        log: the worker's.
        give_up_s: seconds after its commit from which an invisible change counts as never seen.
    """

    def __init__(self, settings: ClickHouseSettings, log: Path, *, give_up_s: float = 30.0) -> None:
        self.latencies: list[Latency] = []
        self.never: list[Seen] = []
        self.polls = 0
        self._settings = settings
        self._give_up_s = give_up_s
        self._arrived: deque[_Pending] = deque()
        self._pending: list[_Pending] = []
        self._shown: list[_Shown] = []
        self._acks = Acks(log)
        self._clock = time.time() - time.perf_counter()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, seen: Seen, committed: float) -> None:
        """Look out for a change; `committed` is time.perf_counter() after COMMIT. For any thread."""
        self._arrived.append(_Pending(seen, committed))
        self._wake.set()

    @property
    def pending(self) -> int:
        """Changes that are committed and not visible yet."""
        return len(self._pending) + len(self._shown) + len(self._arrived)

    def waits_for(self, since: float, until: float) -> int:
        """How many changes that were committed between two moments are not visible yet. For any thread."""
        waiting = [*self._arrived, *self._pending, *(each.change for each in list(self._shown))]
        return sum(since <= each.committed < until for each in waiting)

    def check(self) -> None:
        """Raise the error that ended the thread, if it ended by itself."""
        if self._fault is not None:
            raise self._fault

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is pending. False: the time was over first."""
        deadline = time.monotonic() + timeout_s
        while self.pending:
            self.check()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def stop(self) -> None:
        """End the thread; pending changes were never seen."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.never += [pending.seen for pending in (*self._pending, *self._arrived)]
        self._settle(wait_s=0)
        self._pending.clear()
        self._arrived.clear()

    def _run(self) -> None:
        shards = range(len(self._settings.shards))
        clients = [connect(self._settings, shard) for shard in shards]
        try:
            with ThreadPoolExecutor(len(clients), thread_name_prefix="probe") as pool:
                while not self._stop.is_set():
                    self._wake.wait(None if not self._pending and not self._shown else 0)
                    self._wake.clear()
                    while self._arrived:
                        self._pending.append(self._arrived.popleft())
                    if self._pending:
                        self._poll(clients, pool)
                    self._settle(wait_s=self._give_up_s)
                    self._stop.wait(POLL_S)
        except Exception as error:
            self._fault = error
        finally:
            for client in clients:
                client.close()

    def _poll(self, clients: list[Any], pool: ThreadPoolExecutor) -> None:
        """Ask each shard for the changes that it may show. Only the answers of all shards together decide."""
        ripe = self._pending[:AT_ONCE]
        wanted: dict[int, list[Seen]] = {}
        for pending in ripe:
            for shard in self._shards(pending.seen):
                wanted.setdefault(shard, []).append(pending.seen)
        if not wanted:
            return
        answers = list(pool.map(lambda shard: _ask(clients[shard], shard, _query(wanted[shard])), wanted))
        self.polls += len(wanted)
        rows: dict[tuple[str, str | None], list[_Row]] = {}
        for found, _ in answers:
            for key, row in found:
                rows.setdefault(key, []).append(row)
        answered = max(at for _, at in answers)
        gone: set[int] = set()
        for pending in ripe:
            seen = pending.seen
            states = rows.get((seen.card.scorecard_id, seen.score_id), [])
            if is_visible(seen, [row for row in states if not row.deleted]):
                self._shown.append(_Shown(pending, answered, states))
            elif answered - pending.committed > self._give_up_s:
                self.never.append(seen)
            else:
                continue
            gone.add(id(pending))
        self._pending = [pending for pending in self._pending if id(pending) not in gone]

    def _settle(self, *, wait_s: float) -> None:
        """Find out when the seen changes could be seen first. Without a logged batch: when they were."""
        if not self._shown:
            return
        self._acks.read()
        left = []
        for shown in self._shown:
            change, acknowledged = shown.change, self._acknowledged(shown)
            if acknowledged is None and time.perf_counter() - shown.answered < wait_s:
                left.append(shown)
                continue
            at = shown.answered if acknowledged is None else min(acknowledged - self._clock, shown.answered)
            ms = (at - change.committed) * 1000
            self.latencies.append(Latency(change.seen.card.customer_id, change.seen.kind, change.committed, ms))
        self._shown = left

    def _acknowledged(self, shown: _Shown) -> float | None:
        """The acknowledgement of the state stored last. A row that moved, or is gone, needs its delete marker, too."""
        table = "scorecard" if shown.change.seen.score_id is None else "score"
        last = max(shown.states, key=lambda row: row.stored_at, default=None)
        return None if last is None else self._acks.after(last.stored_at, last.shard, table)

    def _shards(self, seen: Seen) -> Sequence[int]:
        every = range(len(self._settings.shards))
        if seen.near_us is None:
            return every
        return (shard_of(seen.near_us, shards=len(every), bucket_days=self._settings.shard_bucket_days),)


def is_visible(seen: Seen, rows: list[_Row]) -> bool:
    """Whether the rows of all shards show the change, and nothing but it: a row that moved stands once."""
    if seen.absent:
        return not rows
    return len(rows) == 1 and (
        (seen.updated_us is None or rows[0].updated_us >= seen.updated_us)
        and (seen.event_us is None or rows[0].event_us == seen.event_us)
    )


def _query(wanted: list[Seen]) -> str:
    """One query for all of them; both tables' sort keys begin with customer_id, scorecard_id.

    It finds the newest state of each key as FINAL does, which for some rows by key costs ClickHouse twice as much. It
    reads delete markers, too, for the time at which they were stored.
    """
    parts = []
    for table, members in (
        ("scorecard", [seen for seen in wanted if seen.score_id is None]),
        ("score", [seen for seen in wanted if seen.score_id is not None]),
    ):
        if not members:
            continue
        own, condition = "''", ""
        if table == "score":
            own = "toString(score_id)"
            condition = f" AND score_id IN ({_list({seen.score_id for seen in members})})"
        months = {None if seen.near_us is None else month_of(seen.near_us) for seen in members}
        if None not in months:  # otherwise it may be in any
            condition += f" AND toYYYYMM(event_time) IN ({','.join(map(str, sorted(months)))})"
        newest = "argMax((event_time, updated_at, _indexed_at, _deleted), (_version, _indexed_at)) AS newest"
        parts.append(
            f"SELECT toString(scorecard_id), {own} AS own, toUnixTimestamp64Micro(newest.1), "
            f"toUnixTimestamp64Micro(newest.2), toUnixTimestamp64Milli(newest.3), newest.4, {newest} FROM {table} "
            f"WHERE customer_id IN ({_list({seen.card.customer_id for seen in members})}) "
            f"AND scorecard_id IN ({_list({seen.card.scorecard_id for seen in members})}){condition} "
            "GROUP BY customer_id, scorecard_id, own, event_time"
        )
    return " UNION ALL ".join(parts) + " SETTINGS max_threads = 1"


def _list(values: set[Any]) -> str:
    return ",".join(f"'{value}'" for value in sorted(values))


def _ask(client: Any, shard: int, query: str) -> tuple[list[tuple[tuple[str, str | None], _Row]], float]:
    """The rows of one shard by (scorecard id, score id), and when they had arrived."""
    answer: bytes = client.raw_query(query, fmt="TSV")
    arrived = time.perf_counter()
    rows = []
    for line in answer.decode().splitlines():
        scorecard_id, score_id, event_us, updated_us, stored_ms, deleted, _ = line.split("\t")
        row = _Row(int(event_us), int(updated_us), int(stored_ms) / 1000, shard, deleted != "0")
        rows.append(((scorecard_id, score_id or None), row))
    return rows, arrived
