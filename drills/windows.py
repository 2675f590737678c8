"""A reader of spans of event time during a drill: scorecards move, become appeals, and must leave no trace.

ClickHouse leaves out parts outside of a span before it looks for the newest state of a row. An old state that stands
alone in its span would be shown to this reader, and to no reader without a condition.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from drills.background import Background
from testbed import oracle
from testbed.universe import Universe
from testbed.workload import START

CUSTOMER = "wanders"
POLL_S = 0.1
FIRST = START - timedelta(days=240)  # a month without other rows: a span leaves parts of few rows out first
# Within a day, within the month on the same shard of two, within the month on the other shard, and into another month.
STEPS = (timedelta(hours=7), timedelta(days=2), timedelta(days=1), timedelta(days=40))


@dataclass
class Windows(Background):
    """A thread that moves scorecards and asks for the spans that they have left, while a block runs.

    Attributes:
        ghosts: rows shown in a span that the scorecard had left, after a reader of everything had seen it leave.
        asked: spans that were read.
        wandered: scorecards that went all the way: inserted, moved, made an appeal.
        appeals: those of them, for other readers to know.
    """

    universe: Universe
    seed: int
    ghosts: list[str] = field(default_factory=list)
    asked: int = 0
    wandered: int = 0
    appeals: set[str] = field(default_factory=set)

    def _run(self) -> None:
        choices = random.Random(self.seed)
        while not self._stop.is_set():
            self._wander(choices, str(uuid4()))

    def _wander(self, choices: random.Random, scorecard: str) -> None:
        """One scorecard's life; given up where the drill ends in its middle."""
        first = FIRST + timedelta(seconds=choices.randrange(20 * 86_400))
        second = first + choices.choice(STEPS)
        if not self._committed(
            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, submission_source, scorecard_time) "
            "VALUES (%s, %s, gen_random_uuid(), 2, %s) ON CONFLICT (scorecard_id) DO NOTHING",
            scorecard, CUSTOMER, first,
        ) or not self._shown(scorecard, [first]):  # fmt: skip
            return
        if not self._committed(
            "UPDATE app.scorecards SET scorecard_time = %s WHERE scorecard_id = %s", second, scorecard
        ) or not self._shown(scorecard, [second]):
            return
        self._ask(choices, scorecard, first, without=second)
        if not self._committed(
            "UPDATE app.scorecards SET scorecard_type = 2 WHERE scorecard_id = %s", scorecard
        ) or not self._shown(scorecard, []):
            return
        for moment in (first, second):
            self._ask(choices, scorecard, moment)
        self.wandered += 1
        self.appeals.add(scorecard)

    def _committed(self, statement: str, *values: Any) -> bool:
        """Run a statement that may run twice, until it is committed; False when the drill has ended."""

        def run() -> bool:
            with self.universe.postgres() as connection:
                connection.execute(statement.encode(), values)
            return True

        return self._until(run)

    def _shown(self, scorecard: str, times: list[datetime]) -> bool:
        """Wait until a reader of everything sees the scorecard at these times, on all shards together."""
        return self._until(lambda: self._read(scorecard) == times)

    def _ask(
        self, choices: random.Random, scorecard: str, moment: datetime, *, without: datetime | None = None
    ) -> None:
        """Random spans around a moment that the scorecard has left."""
        for _ in range(4):
            low = moment - timedelta(seconds=choices.randrange(3 * 86_400))
            high = moment + timedelta(seconds=1 + choices.randrange(3 * 86_400))
            if without is not None and low <= without < high:
                low, high = (low, without) if without > moment else (without + timedelta(seconds=1), high)
            condition = f"AND event_time >= '{low:%Y-%m-%d %H:%M:%S}' AND event_time < '{high:%Y-%m-%d %H:%M:%S}'"
            found: list[datetime] = []

            def read(condition: str = condition, found: list[datetime] = found) -> bool:
                found[:] = self._read(scorecard, condition)
                return True

            if not self._until(read):
                return
            self.asked += 1
            self.ghosts += [f"{scorecard} at {at} {condition}" for at in found]

    def _read(self, scorecard: str, condition: str = "") -> list[datetime]:
        query = (
            f"SELECT event_time FROM {self.universe.name}.scorecard_current "
            f"WHERE customer_id = '{CUSTOMER}' AND scorecard_id = '{scorecard}' {condition}"
        )
        found: list[datetime] = []
        for url in self.universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
            client = oracle.client_of(url, self.universe.env)
            try:
                found += [oracle.plain(row)[0] for row in client.query(query).result_rows]
            finally:
                client.close()
        return sorted(found)

    def _until(self, ready: Callable[[], bool]) -> bool:
        """Poll through the drill's faults; False when the drill ends first."""
        while not self._stop.is_set():
            try:
                if ready():
                    return True
            except (psycopg.OperationalError, ClickHouseError, HTTPError, OSError):
                pass  # the drill has cut it off
            self._stop.wait(POLL_S)
        return False
