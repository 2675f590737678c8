"""Transactions in Postgres, and Debezium's messages of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from stream.tables import CHATS, SOURCES
from tests.fakes import (
    APPEAL_TYPES,
    PRIMARY_KEY,
    Locked,
    Transaction,
)
from tests.fakes.debezium import INFINITY
from tests.model.faults import (
    CARD_IDS,
)

_PLACE_COLUMNS = {"started_at", "scorecard_time", "conversation_id"}


class Writers:
    """Statements, commits, re-deliveries and incremental snapshots of a World."""

    def _fill(self) -> None:
        """Most rows are there already."""
        with self.postgres.begin() as tx:
            for table, ids in self.faults.ids.items():
                for row_id in ids:
                    if self._chance(0.8):
                        self._statement(tx, table, row_id)

    def _sql(self) -> None:
        """One statement in a transaction, or its end."""
        if len(self.transactions) < 2 and (not self.transactions or self._chance(0.3)):
            self.transactions.append(self.postgres.begin())
        tx = self._one_of(self.transactions)
        if self._chance(0.2):
            self.transactions.remove(tx)
            if self._chance(0.95):
                self._commit(tx)
            else:
                tx.rollback()
            return
        table = self._weighted([(2, CHATS), (4, "scorecards"), (4, "scores")])
        row_id = self._one_of(self.faults.ids[table])
        with contextlib.suppress(Locked):
            self._statement(tx, table, row_id)
        if self._chance(0.6):
            self.transactions.remove(tx)
            self._commit(tx)

    def _commit(self, tx: Transaction) -> None:
        # While the standby is slow every commit waits for it, unless commits need not wait.
        hides = 0.8 if self.flushed and not self.faults.overtakes else 0.15
        if self.faults.hidden and not self.draining and not self.window and self._chance(hides):
            self._say("commit, not visible yet")
            tx.flush()
            self.flushed.append(tx)
        else:
            self._say("commit")
            if not self.faults.overtakes:
                self._show()
            tx.commit()

    def _show(self) -> None:
        """All commits become visible, in the order of the WAL, as a standby acknowledges and replays it."""
        for tx in self.flushed:
            tx.commit()
        self.flushed.clear()

    def _statement(self, tx: Transaction, table: str, row_id: str) -> None:
        row = tx.row(table, row_id)
        if row is None:
            values = self._values(table, tx, new=True)
            if values is not None:
                self._say(f"insert {table} {row_id[-2:]} {values}")
                tx.insert(table, row_id, **values)
        elif self._chance(0.1):
            self._say(f"delete {table} {row_id[-2:]}")
            tx.delete(table, row_id)
        elif self._chance(0.05) and (free := self._free_ids(table, tx, row_id)):
            new = self._one_of(free)
            self._say(f"rename {table} {row_id[-2:]} {new[-2:]}")
            tx.update(table, row_id, **{PRIMARY_KEY[table]: new})
        else:
            values = self._values(table, tx, new=False)
            if values is not None:
                self._say(f"update {table} {row_id[-2:]} {values}")
                tx.update(table, row_id, **values)

    def _free_ids(self, table: str, tx: Transaction, row_id: str) -> list[str]:
        """New values for the primary key of a row; a scorecard with scores keeps its key."""
        if table == "scorecards" and tx.scores_of(row_id):
            return []
        return [i for i in self.faults.ids[table] if tx.row(table, i) is None]

    def _values(self, table: str, tx: Transaction, *, new: bool) -> dict[str, Any] | None:
        self.counter += 1
        if table == CHATS:
            choices: dict[str, Callable[[], Any]] = {
                "started_at": lambda: self._one_of([*self.faults.times * 3, None, *self._odd()]),
                "ended_at": lambda: self.counter,
            }
        elif table == "scorecards":
            choices = {
                "comment": lambda: f"text {self.counter}",
                "score": lambda: float(self.counter),
                "submitted_at": lambda: self._one_of([self.counter, None, *self._odd()]),
                "scorecard_type": lambda: self._one_of([None, None, None, 0, *APPEAL_TYPES]),
                "scorecard_time": lambda: self._one_of([*self.faults.times * 3, None, *self._odd()]),
                "conversation_id": lambda: self._one_of([None, "", *self.faults.ids[CHATS] * 2]),
                "customer_id": lambda: self._one_of(["acme", "globex"]),
            }
        else:
            cards = [i for i in CARD_IDS if tx.row("scorecards", i) is not None]
            if not cards:
                return None
            choices = {
                "numeric_value": lambda: float(self.counter),
                "comment": lambda: f"text {self.counter}",
                "scorecard_id": lambda: self._one_of(cards),
            }
        if not new:
            names = list(choices)
            chosen = self._one_of(names + [n for n in names if n in _PLACE_COLUMNS])
            return {chosen: choices[chosen]()} | ({"updated_at": self.counter} if table != CHATS else {})
        values = {name: choose() for name, choose in choices.items()}
        if table == "scorecards" and self._chance(0.6):
            values["scorecard_type"] = None
        return values

    def _odd(self) -> list[int]:
        return [INFINITY] if self.faults.refused else []

    def _end_transactions(self) -> None:
        self._show()
        while self.transactions:
            self.transactions.pop(self._below(len(self.transactions))).commit()

    def _stream(self) -> None:
        if self.broken:
            return
        if self.faults.identity and self._chance(0.1):
            self._change_identity()
        self.debezium.stream(1 + self._below(3))

    def _change_identity(self) -> None:
        """Of changes from now on. Scores keep theirs: one that moves would not name the scorecard that it leaves."""
        table = self._one_of([CHATS, "scorecards"])
        self._say(f"replica identity of {table}")
        self.debezium.stream()
        self.debezium.full[table] = not self.debezium.full[table]

    def _resend(self) -> None:
        if self.broken:
            return
        if not self.faults.late or self._chance(0.5):
            self.debezium.resend(1 + self._below(3))
        else:
            self.debezium.repeat(self._below(1_000))

    def _incremental(self) -> None:
        if self.broken:
            return
        if self.window == "":
            self._show()  # an incremental snapshot does not wait for them; `verify` finds what it read too early
            self.debezium.open_window()
            self.window = "open"
        elif self.window == "open":
            for table in SOURCES:
                if self._chance(0.6):
                    self.debezium.read_chunk(table)
            self.window = "read"
        else:
            self.debezium.close_window()
            self.window = ""
