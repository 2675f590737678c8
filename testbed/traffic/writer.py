"""Live changes at a steady rate, over several connections.

The schedule is absolute: a session that fell behind (a slow commit) catches up instead of writing less. `on_seen` gets
a sample of the row changes, each with the moment at which COMMIT returned.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from testbed.traffic.changes import EVERYTHING
from testbed.traffic.seen import Seen
from testbed.traffic.session import Mix, Session
from testbed.traffic.workload import Workload

CONNECTIONS = 4


@dataclass(slots=True)
class _Share:
    """The counts of one session; only its own thread writes them."""

    changes: int = 0
    transactions: int = 0
    behind_s: float = 0.0  # the most that it was behind its schedule
    unsampled: float = 0.0


@dataclass
class LiveWriter:
    """Writes `rate` row changes a second to Postgres until stopped.

    Args:
        url: libpq URL of a role that may write schema app.
        rate: row changes a second, over all connections; may be set while it writes.
        samples_per_s: how many of them are handed to `on_seen`.
        mix: the changes, as in testbed/traffic/changes.py.
        recent: share of them that falls into the last days.
        on_seen: called from the writing threads with (what must be seen, time.perf_counter() after COMMIT).
    """

    url: str
    workload: Workload
    rate: float
    on_seen: Callable[[Seen, float], None]
    samples_per_s: float = 40.0
    seed: int = 0
    connections: int = CONNECTIONS
    mix: Mix = EVERYTHING
    recent: float = 0.98
    started: float = 0.0
    ended: float = 0.0
    _shares: list[_Share] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _faults: list[BaseException] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """Row changes committed so far."""
        return sum(share.changes for share in self._shares)

    @property
    def transactions(self) -> int:
        """Transactions committed so far."""
        return sum(share.transactions for share in self._shares)

    @property
    def achieved_rate(self) -> float:
        """Row changes a second since the start, or over the whole run once it has ended."""
        elapsed = (self.ended or time.perf_counter()) - self.started
        return self.changes / elapsed if self.started and elapsed > 0 else 0.0

    @property
    def behind_s(self) -> float:
        """The most that a connection was behind its schedule."""
        return max((share.behind_s for share in self._shares), default=0.0)

    def start(self) -> None:
        """Connect, and begin to write."""
        for number in range(self.connections):
            connection = psycopg.connect(self.url, autocommit=True, application_name="demo-writer")
            session = Session(
                connection,
                self.workload,
                share=number,
                of=self.connections,
                seed=self.seed,
                mix=self.mix,
                recent=self.recent,
            )
            share = _Share()
            self._shares.append(share)
            self._threads.append(
                threading.Thread(
                    target=self._write, args=(session, share, number), name=f"writer-{number}", daemon=True
                )
            )
        self.started = time.perf_counter()
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise the error that ended a session, if one ended by itself."""
        if self._faults:
            raise self._faults[0]

    def stop(self) -> None:
        """Finish the transactions under way, and close the connections."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.ended = self.ended or time.perf_counter()

    def _write(self, session: Session, share: _Share, number: int) -> None:
        try:
            with session.connection:
                self._follow_schedule(session, share, number)
        except Exception as error:
            self._faults.append(error)

    def _follow_schedule(self, session: Session, share: _Share, number: int) -> None:
        rate = begun = every = 0.0
        before = 0
        while True:
            if rate != self.rate:  # it may be set while changes are written: the schedule begins again
                rate, before = self.rate, share.changes
                every = rate / self.samples_per_s  # row changes for each sample
                # the connections take turns
                begun = max(self.started, time.perf_counter()) + number / self.connections / max(rate, 1)
            due = begun + (share.changes - before) * self.connections / rate
            if self._stop.wait(max(0.0, due - time.perf_counter())):
                return
            now = time.perf_counter()
            share.behind_s = max(share.behind_s, now - due)
            written = session.write(now - self.started)
            committed = time.perf_counter()
            share.changes += written.changes
            share.transactions += 1
            share.unsampled += written.changes
            if written.seen is not None and share.unsampled >= every:
                share.unsampled %= every  # missed samples are not made up for in a burst
                session.set_aside(written.seen.card)
                self.on_seen(written.seen, committed)
