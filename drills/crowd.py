"""Many readers of random spans of event time during a drill: 200 a second where the machine allows it.

They read the scorecards that drills/windows.py moves and turns into appeals, and some that never change. Each span is
read from all shards, as a dashboard does: with its own condition, and without a look at anything else.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from drills.windows import CUSTOMER, FIRST
from testbed import oracle
from testbed.universe import Universe

THREADS = 4
STEADY = 20  # scorecards that never change
_DAYS = 60  # of spans, from FIRST on


@dataclass(slots=True)
class Crowd:
    """Threads that ask for spans while a block runs.

    Attributes:
        appeals: known to have left every shard before a span was asked for.
        shown: appeals that a span showed.
        doubles: rows that a span showed twice.
        missing_s: the longest time for which spans lacked a scorecard that never changes, seconds.
        unanswered: spans that a shard did not answer.
    """

    universe: Universe
    seed: int
    appeals: Set[str]
    per_s: float = 200.0
    asked: int = 0
    unanswered: int = 0
    shown: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    missing_s: float = 0.0
    _began: float = 0.0
    _steady: dict[str, datetime] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)  # when a span last showed it
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Crowd:
        choices = random.Random(self.seed)
        with self.universe.postgres() as connection:
            for _ in range(STEADY):
                scorecard, at = str(uuid4()), FIRST + timedelta(seconds=choices.randrange(_DAYS * 86_400))
                self._steady[scorecard] = at
                connection.execute(
                    "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, submission_source, "
                    "scorecard_time) VALUES (%s, %s, gen_random_uuid(), 2, %s)",
                    (scorecard, CUSTOMER, at),
                )
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(THREADS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    @property
    def clean(self) -> bool:
        """Whether spans were read, and none showed what it must not."""
        return bool(self.asked) and not self.shown and not self.doubles

    def as_json(self) -> dict[str, Any]:
        """For the drill's result."""
        seconds = time.monotonic() - self._began
        return {
            "clean": self.clean,
            "asked": self.asked,
            "per_s": round(self.asked / seconds, 1),
            "unanswered": self.unanswered,
            "appeals_known": len(self.appeals),
            "appeals_shown": self.shown[:20],
            "doubles": self.doubles[:20],
            "missing_s": round(self.missing_s, 3),
        }

    def _run(self, number: int) -> None:
        choices, began = random.Random(self.seed * THREADS + number), time.monotonic()
        env = self.universe.env
        clients: list[Any] = []
        while not self._stop.wait(max(0.0, began + 1 / (self.per_s / THREADS) - time.monotonic())):
            began = time.monotonic()
            low = FIRST + timedelta(seconds=choices.randrange(_DAYS * 86_400))
            high = low + timedelta(seconds=choices.choice([3_600, 86_400, 7 * 86_400, 40 * 86_400]))
            try:
                if not clients:
                    clients = [oracle.client_of(url, env) for url in env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")]
                self._ask(clients, low, high)
            except (ClickHouseError, HTTPError, OSError):  # the drill has cut it off
                clients = []
                with self._lock:
                    self.unanswered += 1

    def _ask(self, clients: list[Any], low: datetime, high: datetime) -> None:
        left, asked_at = set(self.appeals), time.monotonic()
        query = (
            f"SELECT toString(scorecard_id), event_time FROM {self.universe.name}.scorecard_current "
            f"WHERE customer_id = '{CUSTOMER}' "
            f"AND event_time >= '{low:%Y-%m-%d %H:%M:%S}' AND event_time < '{high:%Y-%m-%d %H:%M:%S}'"
        )
        found = [oracle.plain(row) for client in clients for row in client.query(query).result_rows]
        self.judge(found, left=left, low=low, high=high, asked_at=asked_at)

    def judge(
        self, found: list[tuple[Any, ...]], *, left: Set[str], low: datetime, high: datetime, asked_at: float
    ) -> None:
        """Count what is wrong with one answer.

        Args:
            found: (scorecard, event time) of all shards.
            left: appeals that had left before the question.
            asked_at: by time.monotonic.
        """
        times = Counter(scorecard for scorecard, _ in found)
        with self._lock:
            self.asked += 1
            self.shown += [scorecard for scorecard in times if scorecard in left]
            # One that moves may be read in its old place on one shard, and in its new one on another afterwards.
            self.doubles += [scorecard for scorecard, n in times.items() if n > 1 and scorecard in self._steady]
            self.doubles += [f"{scorecard} at {at}" for (scorecard, at), n in Counter(found).items() if n > 1]
            for scorecard, at in self._steady.items():
                if low <= at < high:
                    if scorecard in times:
                        self._seen[scorecard] = max(asked_at, self._seen.get(scorecard, 0.0))
                    elif (seen := self._seen.get(scorecard)) is not None:  # it was indexed
                        self.missing_s = max(self.missing_s, asked_at - seen)
