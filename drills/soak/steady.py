"""A writer whose source keeps its size, so that no growth beside it comes from more rows.

It deletes what is above the size, and forgets the ids that other connections have deleted. A writer that knows mostly
ids of deleted rows would change nothing.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from drills.writer import Session, Writing
from testbed.workload import CUSTOMERS, Workload

EVERY_S = 20.0  # for each connection

_OURS = "customer_id = ANY(%(customers)s)"
_SURPLUS = (
    "WITH gone AS (DELETE FROM app.scorecards WHERE scorecard_id IN ("
    f"  SELECT scorecard_id FROM app.scorecards WHERE {_OURS} ORDER BY scorecard_id"
    f"  LIMIT greatest(0, (SELECT count(*) FROM app.scorecards WHERE {_OURS}) - %(keep)s)"
    ") RETURNING scorecard_id) "
    "DELETE FROM app.scores USING gone WHERE scores.scorecard_id = gone.scorecard_id"
)
_ORPHANS = (
    "DELETE FROM app.scores s WHERE NOT EXISTS (SELECT FROM app.scorecards c WHERE c.scorecard_id = s.scorecard_id)"
)
_UNUSED = (
    f"DELETE FROM app.chats c WHERE {_OURS} AND NOT EXISTS "
    "(SELECT FROM app.scorecards s WHERE s.conversation_id = c.conversation_id)"
)


class Steady(Writing):
    """A Writing that keeps the source at the number of scorecards that it had at the start."""

    def __init__(self, session: Session, seed: int, *, known: Workload | None = None) -> None:
        super().__init__(session, seed, known=known)
        self._keep = len(self.scorecards)
        self._due = time.monotonic() + self.random.random() * EVERY_S  # the connections take turns

    def step(self, stopping: threading.Event) -> str:
        if time.monotonic() < self._due:
            return super().step(stopping)
        self._due = time.monotonic() + EVERY_S
        values: dict[str, Any] = {"customers": list(CUSTOMERS), "keep": self._keep}
        self.scorecards = self._ids(f"SELECT scorecard_id::text FROM app.scorecards WHERE {_OURS}", values)
        self.chats = self._ids(f"SELECT conversation_id FROM app.chats WHERE {_OURS}", values)
        for statement in (_SURPLUS, _ORPHANS, _UNUSED):
            self.session.execute(statement, values)
        return "trimmed"

    def _ids(self, query: str, values: dict[str, Any]) -> list[str]:
        return [row[0] for row in self.session.execute(query, values).fetchall()]
