"""A small, seeded workload with every kind of row and of change. SQL only: shares no code with the package."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

START = datetime(2026, 1, 1, tzinfo=UTC)
CUSTOMERS = ("care-oregon", "propel", "spirit")


class Workload:
    """Rows and changes from one seed. A change commits by itself, so that any prefix is a valid history."""

    def __init__(self, connection: psycopg.Connection[Any], seed: int) -> None:
        self.sql = connection
        self.random = random.Random(seed)
        self.chats: list[str] = []
        self.scorecards: list[str] = []

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def time(self) -> datetime:
        return START + timedelta(microseconds=self.random.randrange(52 * 86400 * 10**6))

    def add(self, count: int) -> None:
        """Chats, scorecards of both kinds, appeals among them, and their scores, in one transaction."""
        with self.sql.transaction():
            for _ in range(count):
                self.add_scorecard()

    def add_scorecard(self, *, chat: bool = True) -> str:
        """One scorecard with up to nine scores; one in five is a process scorecard, one in eight an appeal."""
        process, customer = self.random.random() < 0.2, self.random.choice(CUSTOMERS)
        conversation = self.random.choice([None, ""]) if process else self.uuid()
        if conversation and chat:
            self.add_chat(conversation, customer)
        scorecard = self.uuid()
        kind = self.random.choice([1, 2, 3]) if self.random.random() < 0.125 else self.random.choice([None, 0])
        self.sql.execute(
            "INSERT INTO app.scorecards VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)",
            (scorecard, customer, self.uuid(), conversation, self.random.choice([None, self.uuid()]), kind,
             2 if process else 1, self.time() if process else None, self.time(), self.random.random() * 100,
             self.random.choice([None, "", "fine", "naïve “quotes”\n\t\\ \U0001f600"]), self.time(), self.time()),
        )  # fmt: skip
        self.scorecards.append(scorecard)
        for _ in range(self.random.randrange(1, 10)):
            self.add_score(scorecard)
        return scorecard

    def add_chat(self, conversation: str, customer: str) -> None:
        started = self.time()
        self.sql.execute(
            "INSERT INTO app.chats VALUES (%s,%s,%s,%s,%s)", (conversation, customer, self.uuid(), started, started)
        )
        self.chats.append(conversation)

    def add_score(self, scorecard: str) -> None:
        self.sql.execute(
            "INSERT INTO app.scores VALUES (%s,%s,%s,%s,%s,%s,%s,%s)",
            (self.uuid(), scorecard, self.uuid(), self.random.choice([None, 0.0, 1.0, self.random.random()]),
             self.random.choice([None, self.random.random()]), self.random.random() < 0.1,
             self.random.choice([None, "ok"]), self.time()),
        )  # fmt: skip

    def change(self) -> str:
        """One random change, committed; returns its name."""
        name = self.random.choice(list(_CHANGES))
        _CHANGES[name](self)
        return name

    def _of(self, ids: list[str]) -> str:
        return self.random.choice(ids)

    def late_chat(self) -> None:
        scorecard = self.add_scorecard(chat=False)
        row = self.sql.execute(
            "SELECT conversation_id, customer_id FROM app.scorecards WHERE scorecard_id = %s", (scorecard,)
        ).fetchone()
        if row and row[0]:
            self.add_chat(*row)

    def run(self, statement: str, *values: Any) -> None:
        self.sql.execute(statement, values)


# Rows of other customers are those of readers beside the workload, who know what they must be.
_OURS = f"customer_id IN ({', '.join(repr(customer) for customer in CUSTOMERS)})"
_SCORE_OF = "(SELECT score_id FROM app.scores WHERE scorecard_id = %s LIMIT 1)"
_CHANGES: dict[str, Any] = {
    "insert": lambda w: w.add_scorecard(),
    "late chat": Workload.late_chat,
    "score updated": lambda w: w.run(
        f"UPDATE app.scores SET numeric_value = %s, updated_at = now() WHERE score_id = {_SCORE_OF}",
        w.random.random(), w._of(w.scorecards),
    ),
    "score deleted": lambda w: w.run(f"DELETE FROM app.scores WHERE score_id = {_SCORE_OF}", w._of(w.scorecards)),
    "score moved": lambda w: w.run(
        f"UPDATE app.scores SET scorecard_id = (SELECT scorecard_id FROM app.scorecards ORDER BY scorecard_id LIMIT 1) "
        f"WHERE score_id = {_SCORE_OF}", w._of(w.scorecards),
    ),
    "scorecard updated": lambda w: w.run(
        "UPDATE app.scorecards SET comment = %s, score = %s, updated_at = now() WHERE scorecard_id = %s",
        w.random.choice([None, "changed"]), w.random.random(), w._of(w.scorecards),
    ),
    "appeal filed": lambda w: w.run(
        "UPDATE app.scorecards SET scorecard_type = %s WHERE scorecard_id = %s", w.random.choice([1, 2, 3]),
        w._of(w.scorecards),
    ),
    "appeal withdrawn": lambda w: w.run(
        "UPDATE app.scorecards SET scorecard_type = %s WHERE scorecard_id = "
        f"(SELECT scorecard_id FROM app.scorecards WHERE scorecard_type > 0 AND {_OURS} LIMIT 1)",
        w.random.choice([None, 0]),
    ),
    "time moved": lambda w: w.run(
        "UPDATE app.scorecards SET scorecard_time = %s WHERE scorecard_id = "
        f"(SELECT scorecard_id FROM app.scorecards WHERE coalesce(conversation_id, '') = '' AND {_OURS} "
        "ORDER BY md5(scorecard_id::text || %s) LIMIT 1)", w.time(), str(w.random.random()),
    ),
    "time cleared": lambda w: w.run(
        "UPDATE app.scorecards SET scorecard_time = NULL WHERE scorecard_id = "
        f"(SELECT scorecard_id FROM app.scorecards WHERE coalesce(conversation_id, '') = '' AND {_OURS} "
        "ORDER BY md5(scorecard_id::text || %s) LIMIT 1)", str(w.random.random()),
    ),
    "start corrected": lambda w: w.run(
        "UPDATE app.chats SET started_at = %s WHERE conversation_id = %s", w.time(), w._of(w.chats)
    ),
    "chat ended": lambda w: w.run(
        "UPDATE app.chats SET ended_at = %s WHERE conversation_id = %s", w.time(), w._of(w.chats)
    ),
    "chat deleted": lambda w: w.run("DELETE FROM app.chats WHERE conversation_id = %s", w._of(w.chats)),
    "conversation cleared": lambda w: w.run(
        "UPDATE app.scorecards SET conversation_id = %s, scorecard_time = %s WHERE scorecard_id = %s",
        w.random.choice([None, ""]), w.time(), w._of(w.scorecards),
    ),
    "conversation set": lambda w: w.run(
        "UPDATE app.scorecards SET conversation_id = %s WHERE scorecard_id = %s", w._of(w.chats), w._of(w.scorecards)
    ),
    "customer changed": lambda w: w.run(
        "UPDATE app.scorecards SET customer_id = %s WHERE scorecard_id = %s", w.random.choice(CUSTOMERS),
        w._of(w.scorecards),
    ),
    "scorecard deleted": lambda w: w.run("DELETE FROM app.scorecards WHERE scorecard_id = %s", w._of(w.scorecards)),
}  # fmt: skip
