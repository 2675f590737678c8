"""The invariants: the rows that readers may see on the way, and at the end."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from typing import Any
from uuid import UUID

from stream.pipeline.dead_letter import Message
from stream.tables import CHATS, TARGETS, Table
from tests.fakes import (
    APPEAL_TYPES,
)
from tests.model.faults import (
    REAL_LOOK,
    Violation,
)
from tests.windows import windows

_WINDOWS = 8  # asked of each table of a real target at the end of each round


class Checks:
    """The comparisons of a World."""

    def _check_quiet(self) -> None:
        """While nothing is in flight: processed appeals are hidden, and no row is visible twice."""
        if self.unrepaired or self._in_flight() or (self.replay is not None and not self.replay.finished):
            return
        if not self.fake_target and self.now % REAL_LOOK:
            return
        unread = {
            row_id
            for (table, number), log in self.log.partitions.items()
            for message in log[self._processed((table, number)) :]
            for row_id in self._scorecards_in(table, message)
        }
        unread |= {
            row[1]
            for commit in self.postgres.wal[self.debezium.read :]
            for change in commit.changes
            for image in (change.before, change.after)
            if image is not None
            for row in self._touched(change.table, image)
        }
        if any(message_left for message_left in unread if message_left == "*"):
            return
        visible = [key for key in self.target.visible_keys() if str(UUID(int=key.scorecard_id)) not in unread]
        there = {table.target: {UUID(own).int for own in self.postgres.rows[table.source]} for table in TARGETS}
        for key in visible:
            row = self.postgres.rows["scorecards"].get(str(UUID(int=key.scorecard_id)))
            if row is not None and row["scorecard_type"] in APPEAL_TYPES:
                raise Violation(f"C2: an appeal is visible: {key}")
            if key.row_id not in there[key.table]:
                raise Violation(f"C2: a deleted row is visible: {key}")
        for (_, row_id), count in Counter((key.table, (key.scorecard_id, key.row_id)) for key in visible).items():
            if count > 1:
                raise Violation(f"C3: {count} rows are visible of {row_id}")

    def _scorecards_in(self, table: str, message: Message) -> set[str]:
        if message.value is None:
            return set()
        if table == CHATS:
            return {"*"}
        change = json.loads(message.value)  # a refused one has not been processed either
        return {row["scorecard_id"] for row in (change["before"], change["after"]) if row is not None}

    @staticmethod
    def _touched(table: str, image: dict[str, Any]) -> set[tuple[str, str]]:
        return {("", "*")} if table == CHATS else {("", image["scorecard_id"])}

    def _check_end(self) -> None:
        if sum(self.ledger.values()) != self.consumed["messages"]:
            raise Violation(f"C4: {self.ledger} does not add up to {self.consumed}")
        if self.dead_letters.letters and not self.faults.refused:
            raise Violation(f"refused: {self.dead_letters.letters[0]}")
        for table in TARGETS:
            expected, visible = self.postgres.expected(table), self.target.visible(table)
            if expected != visible:
                missing = [row for row in expected if row not in visible]
                extra = [row for row in visible if row not in expected]
                raise Violation(f"C1/C3: {table.target}: missing {missing}, extra {extra}")
            if self.faults.windows:
                (self._check_spans if self.fake_target else self._check_windows)(table, expected)

    def _check_windows(self, table: Table, expected: list[tuple[Any, ...]]) -> None:
        """The same for a real target, with random conditions on other columns beside the time."""
        choices = random.Random(self.choices.randrange(1 << 30))
        for window in windows(choices, table, self.faults.times, expected, _WINDOWS):
            wanted = [row for row in expected if window.holds(row)]
            seen = self.target.window(table, window.sql)
            if seen != wanted:
                missing = [row for row in wanted if row not in seen]
                extra = [row for row in seen if row not in wanted]
                raise Violation(f"C1/C3 {table.target} WHERE {window.sql}: missing {missing}, extra {extra}")

    def _check_spans(self, table: Table, expected: list[tuple[Any, ...]]) -> None:
        """C1 to C3 for readers of a span of event time: parts outside of it are left out before states are compared."""
        borders = sorted({moment + beside for moment in self.faults.times for beside in (0, 1)})
        for low, high in itertools.combinations([0, *borders, 1 << 62], 2):
            wanted = [row for row in expected if low <= row[2] < high]
            seen = self.target.within(table, low, high)
            if seen != wanted:
                missing = [row for row in wanted if row not in seen]
                extra = [row for row in seen if row not in wanted]
                raise Violation(f"C1/C3: {table.target} from {low} to {high}: missing {missing}, extra {extra}")
