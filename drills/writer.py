"""The writer: several connections that commit the changes of testbed/workload.py, and some more, at a steady rate.

Transactions of different connections interleave: some stay open while others commit, some are rolled back. A lost
connection is opened again. Its uncommitted changes are no history, because the comparison is with Postgres.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from testbed.workload import Workload

CONNECTIONS = 8
OPEN_S = 0.4  # most time that a transaction of several changes stays open


class Session:
    """A Workload's connection: counts the rows that it wrote, and connects again when it was cut."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self.rows = 0

    def execute(self, statement: Any, values: Any = None) -> Any:
        cursor = self._held().execute(statement, values)
        if cursor.rowcount > 0 and not cursor.description:
            self.rows += cursor.rowcount
        return cursor

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._held().transaction():
            yield

    def recover(self) -> bool:
        """Roll back, or connect again. True when the connection was lost."""
        if self._connection is not None and self._connection.broken:
            self.close()
            return True
        return self._connection is None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _held(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection


class Writing(Workload):
    """A Workload with changes of keys, of large texts, and transactions of several changes."""

    def __init__(self, session: Session, seed: int, *, known: Workload | None = None) -> None:
        super().__init__(session, seed)  # type: ignore[arg-type]
        self.session = session
        if known is not None:
            # The same rows for all connections, so that they meet.
            self.chats, self.scorecards = list(known.chats), list(known.scorecards)
            self.random = random.Random(seed)

    def step(self, stopping: threading.Event) -> str:
        """One commit, or one transaction of some changes; returns its name."""
        way = self.random.random()
        if way < 0.12:
            return self._several(stopping)
        if way < 0.27:
            name = self.random.choice(list(_MORE))
            _MORE[name](self)
            return name
        return self.change()

    def _several(self, stopping: threading.Event) -> str:
        with self.session.transaction():
            for _ in range(self.random.randrange(2, 6)):
                self.change()
                stopping.wait(self.random.random() * OPEN_S / 5)
            if self.random.random() < 0.15:
                raise psycopg.Rollback
        return "transaction"

    def reinserted(self) -> None:
        """Deleted, and inserted again under the same id: in one transaction, or in two."""
        scorecard = self._of(self.scorecards)
        row = self.sql.execute(
            "SELECT * FROM app.scorecards WHERE scorecard_id = %s FOR UPDATE", (scorecard,)
        ).fetchone()
        if row is None:
            return
        places = ",".join(["%s"] * len(row))

        def again() -> None:
            self.sql.execute(f"INSERT INTO app.scorecards VALUES ({places}) ON CONFLICT DO NOTHING", row)
            self.add_score(scorecard)

        if self.random.random() < 0.5:
            with self.session.transaction():
                self.run("DELETE FROM app.scorecards WHERE scorecard_id = %s", scorecard)
                again()
        else:
            self.run("DELETE FROM app.scorecards WHERE scorecard_id = %s", scorecard)
            again()

    def scorecard_renamed(self) -> None:
        """A primary key changes: Debezium sends a delete and a create."""
        old, new = self._of(self.scorecards), self.uuid()
        with self.session.transaction():
            self.run("DELETE FROM app.scores WHERE scorecard_id = %s", old)
            self.run("UPDATE app.scorecards SET scorecard_id = %s WHERE scorecard_id = %s", new, old)
        self.scorecards.append(new)


_SCORE = "(SELECT score_id FROM app.scores WHERE scorecard_id = %s LIMIT 1)"
_MORE: dict[str, Any] = {
    "reinserted": Writing.reinserted,
    "scorecard renamed": Writing.scorecard_renamed,
    "score renamed": lambda w: w.run(
        f"UPDATE app.scores SET score_id = %s WHERE score_id = {_SCORE}", w.uuid(), w._of(w.scorecards)
    ),
    "large comment": lambda w: w.run(
        "UPDATE app.scorecards SET comment = %s WHERE scorecard_id = %s",
        "".join(w.random.choices("abcdefgh ", k=12_000)),
        w._of(w.scorecards),
    ),
    "many at once": lambda w: w.run(
        "UPDATE app.scorecards SET scorecard_type = %s WHERE scorecard_id = ANY(%s)",
        w.random.choice([None, 1]),
        w.random.sample(w.scorecards, k=min(10, len(w.scorecards))),
    ),
}


class Writer:
    """Threads that write until `stop`. `rate` is rows changed per second, of all connections together."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        *,
        seed: int,
        rate: float,
        rows: int,
        make: type[Writing] = Writing,
    ) -> None:
        self._connect = connect
        self._rate = rate / CONNECTIONS
        self._stopping = threading.Event()
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        first = Session(connect)
        known = Writing(first, seed)
        known.add(rows)
        first.close()
        self._seed_rows = first.rows
        self._sessions = [Session(connect) for _ in range(CONNECTIONS)]
        writings = [make(s, seed * 1_000 + n, known=known) for n, s in enumerate(self._sessions, 1)]
        self._threads = [threading.Thread(target=self._write, args=(w,), daemon=True) for w in writings]

    @property
    def rows(self) -> int:
        """Rows changed so far; those of transactions that were rolled back count too."""
        return sum(session.rows for session in self._sessions)

    def counts(self) -> dict[str, int]:
        """Steps by name; refused and cut are those that ended with an error."""
        with self._lock:
            return dict(sorted(self._counts.items()))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when nothing more will be committed."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=60)
            if thread.is_alive():
                raise TimeoutError("the writer does not end")
        for session in self._sessions:
            session.close()

    def _write(self, writing: Writing) -> None:
        due, written = time.monotonic(), writing.session.rows
        while not self._stopping.is_set():
            try:
                name = writing.step(self._stopping)
            except (psycopg.Error, psycopg.Rollback) as error:
                # Deadlocks and rows that another connection deleted are part of it. A Rollback comes through when the
                # connection was lost before it could be made.
                cut = writing.session.recover()
                name = "cut" if cut else f"refused {getattr(error, 'sqlstate', None)}"
                if cut:
                    self._stopping.wait(0.2)
            with self._lock:
                self._counts[name] = self._counts.get(name, 0) + 1
            due += (writing.session.rows - written) / self._rate
            written = writing.session.rows
            late = time.monotonic() - due
            if late > 5:  # after an outage it goes on at its rate, and does not catch up
                due += late
            self._stopping.wait(max(0.0, -late))
