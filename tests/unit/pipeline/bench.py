"""A scorecard with two scores, live workers that index it, and ways to step in between two of their calls."""

from __future__ import annotations

from stream.errors import Retry
from stream.pipeline.late import Newest
from stream.pipeline.ledger import Done
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.writes import Layout
from stream.tables import CHATS, TARGETS
from tests.fakes import (
    DAY_US,
    FakeClickHouse,
    FakeDeadLetters,
    FakeDebezium,
    FakeFetched,
    FakeLog,
    FakePostgres,
)

CARD = "5c000000-0000-4000-8000-000000000000"
SCORES = [f"50000000-0000-4000-8000-00000000000{n}" for n in range(2)]
GRADED = "5c000000-0000-4000-8000-00000000000f"
NEW = "50000000-0000-4000-8000-00000000000f"
CHAT = "c0000000-0000-4000-8000-000000000000"
JANUARY = 1_767_225_600_000_000
FEBRUARY = JANUARY + 31 * DAY_US


class Killed(BaseException):
    """kill -9."""


class Bench:
    """A process scorecard of January with two scores, indexed; and ways to step in between two calls."""

    def __init__(self) -> None:
        self.postgres = FakePostgres(on_call=self._on_call)
        self.log = FakeLog()
        self.debezium = FakeDebezium(self.postgres, self.log)
        self.target = FakeClickHouse(on_call=self._on_call)
        self.dead_letters = FakeDeadLetters()
        self.offsets = dict.fromkeys((CHATS, "scorecards", "scores"), 0)
        self.newest = Newest()
        self._plans: list[list[object]] = []
        with self.postgres.begin() as tx:
            tx.insert("scorecards", CARD, scorecard_time=JANUARY, comment="first")
            for score_id in SCORES:
                tx.insert("scores", score_id, scorecard_id=CARD, comment="first")
        self.live()

    def on(self, name: str, do: object, *, nth: int = 1) -> None:
        """Run `do` once, just before the nth call of that name from now."""
        self._plans.append([name, nth, do])

    def _on_call(self, name: str) -> None:
        for plan in list(self._plans):
            if plan[0] == name:
                plan[1] -= 1  # type: ignore[operator]
                if plan[1] == 0:
                    self._plans.remove(plan)
                    plan[2]()  # type: ignore[operator]

    def batch(self, table: str) -> FakeFetched:
        """What of a topic was not processed yet; it counts as processed from now on."""
        self.debezium.stream()
        start, self.offsets[table] = self.offsets[table], len(self.log.partitions[table, 0])
        return self.log.batch(table, 0, start)

    def process(
        self, batch: FakeFetched, *, mine: bool = True, again: bool = False, in_order: bool = False, old: bool = False
    ) -> Done:
        def retry(step):  # type: ignore[no-untyped-def]
            while True:
                try:
                    return step()
                except Retry:
                    continue

        pipeline = Pipeline(
            batch.table,
            source=self.postgres,
            target=self.target,
            dead_letters=self.dead_letters,
            layout=Layout(shards=2, bucket_days=1),
            retry=retry,
            in_order=in_order,
            newest=self.newest,
        )
        return pipeline.process([batch], still_mine=lambda: mine, again=again, old=old)

    def live(self, *tables: str) -> None:
        """The live workers process what there is."""
        for table in tables or (CHATS, "scorecards", "scores"):
            batch = self.batch(table)
            if batch.messages:
                self.process(batch)

    def check(self) -> None:
        self.live()
        for table in TARGETS:
            assert self.target.visible(table) == self.postgres.expected(table)

    # Changes of place, each with the live workers behind it.

    def moves(self) -> None:
        self.postgres.update("scorecards", CARD, scorecard_time=FEBRUARY)
        self.live("scorecards")

    def becomes_appeal(self) -> None:
        self.postgres.update("scorecards", CARD, scorecard_type=2)
        self.live("scorecards")

    def is_deleted(self) -> None:
        self.postgres.delete("scorecards", CARD)
        self.live("scorecards")

    def changes_customer(self) -> None:
        self.postgres.update("scorecards", CARD, customer_id="globex")
        self.live("scorecards")

    def gets_a_conversation(self) -> None:
        self.postgres.insert(CHATS, CHAT, started_at=FEBRUARY)
        self.postgres.update("scorecards", CARD, conversation_id=CHAT)
        self.live(CHATS, "scorecards")
