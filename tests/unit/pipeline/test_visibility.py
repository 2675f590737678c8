"""A look-up that does not see the message's own transaction yet concludes nothing: it waits."""

from __future__ import annotations

import time
from collections.abc import Collection

import pytest

from stream.pipeline.ledger import Outcome
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.placement import Place
from stream.pipeline.visibility import RECENT_MS, hidden, transactions
from stream.pipeline.writes import Layout
from stream.tables import CHATS, SCORECARD, TARGETS
from tests.fakes import FakeClickHouse, FakeDeadLetters, FakeFetched, FakeLog, FakePostgres, envelope, row_of

CARD = "5c000000-0000-4000-8000-000000000000"
CHAT = "c0000000-0000-4000-8000-000000000000"
JANUARY = 1_767_225_600_000_000


class Late(FakePostgres):
    """A Postgres whose look-ups see a commit only after a caller has waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.expected_ids: list[set[int]] = []
        self.visible = False

    def expect(self, transactions: Collection[int]) -> None:
        self.expected_ids.append(set(transactions))
        self.visible = True

    def places(self, ids: list[str]) -> dict[str, Place]:  # type: ignore[override]
        return super().places(ids) if self.visible else {}

    def scorecards_of(self, conversations: list[str]) -> list[tuple[str, str, bool]]:  # type: ignore[override]
        return super().scorecards_of(conversations) if self.visible else []


def process(postgres: Late, table: str, value: bytes) -> tuple[FakeClickHouse, dict[Outcome, int]]:
    log, target = FakeLog(), FakeClickHouse()
    log.append(table, CARD, b"{}", value)
    batch: FakeFetched = log.batch(table)
    pipeline = Pipeline(
        table, source=postgres, target=target, dead_letters=FakeDeadLetters(), layout=Layout(shards=2, bucket_days=1)
    )
    return target, dict(pipeline.process([batch]).ledger.totals())


@pytest.mark.parametrize("op", ["c", "u"])  # the columnar way, and the one change by change
def test_a_scorecard_whose_commit_is_not_visible_yet_is_written(op: str) -> None:
    # given a commit of this moment that look-ups do not see yet
    postgres = Late()
    row = row_of("scorecards", CARD, scorecard_time=JANUARY)
    postgres.insert("scorecards", CARD, scorecard_time=JANUARY)
    before = row_of("scorecards", CARD, scorecard_time=JANUARY + 1) if op == "u" else None
    # when its message is processed
    target, outcomes = process(
        postgres, SCORECARD.source, envelope("scorecards", op, before, row, txId=4711, ts_ms=int(time.time() * 1000))
    )
    # then the pipeline has waited for that transaction, and the row is there
    assert postgres.expected_ids == [{4711}]
    assert outcomes == {Outcome.WRITTEN: 1}
    assert all(target.visible(table) == postgres.expected(table) for table in TARGETS)


def test_a_conversation_that_arrives_finds_its_scorecards_only_when_it_is_visible() -> None:
    postgres = Late()
    postgres.insert("scorecards", CARD, conversation_id=CHAT)
    postgres.insert(CHATS, CHAT, started_at=JANUARY)
    chat = row_of(CHATS, CHAT, started_at=JANUARY)
    target, _ = process(postgres, CHATS, envelope(CHATS, "c", None, chat, txId=7, ts_ms=int(time.time() * 1000)))
    assert postgres.expected_ids == [{7}]
    assert target.visible(SCORECARD) == postgres.expected(SCORECARD)


def test_old_messages_and_snapshots_are_not_waited_for() -> None:
    class Source:
        def __init__(self, tx_id: int | None, ts_ms: int, snapshot: str | bool | None) -> None:
            self.txId, self.ts_ms, self.snapshot = tx_id, ts_ms, snapshot

    now = 10 * RECENT_MS
    sources = [
        Source(1, now, "false"), Source(2, now, False), Source(3, now, None),
        Source(4, now, "first"), Source(5, now, "incremental"), Source(None, now, "false"), Source(6, 0, "false"),
    ]  # fmt: skip
    assert transactions(sources, since_ms=now - RECENT_MS) == {1, 2, 3}


@pytest.mark.parametrize(
    ("transaction", "snapshot", "expected"),
    [
        (99, "100:105:100,103", False),  # before every running one
        (100, "100:105:100,103", True),
        (101, "100:105:100,103", False),  # committed between two that run
        (103, "100:105:100,103", True),
        (104, "100:105:100,103", False),
        (105, "100:105:100,103", True),  # not begun, on a standby: not replayed
        (105, "105:105:", True),
        (104, "105:105:", False),
        (5_000_000, "100:105:", False),  # of another cluster
        (3, f"{2**32 + 5}:{2**32 + 6}:{2**32 + 5}", False),  # ids wrap after 32 bits
        (5, f"{2**32 + 5}:{2**32 + 6}:{2**32 + 5}", True),
        (2**32 - 1, f"{2**32 + 5}:{2**32 + 6}:{2**32 + 5}", False),
    ],
)
def test_what_a_snapshot_hides(transaction: int, snapshot: str, expected: bool) -> None:
    assert hidden(transaction, snapshot) is expected


def test_a_refused_message_waits_for_its_transaction_too() -> None:
    # given a change into an appeal whose time cannot be read, and a look-up that does not see the commit yet
    postgres = Late()
    postgres.insert("scorecards", CARD, scorecard_time=JANUARY, scorecard_type=2)
    row = row_of("scorecards", CARD, scorecard_time="infinity", scorecard_type=2)
    value = envelope("scorecards", "u", None, row, txId=9, ts_ms=int(time.time() * 1000))
    # when it is refused, and its scorecard reindexed
    process(postgres, SCORECARD.source, value)
    # then the pipeline has waited
    assert postgres.expected_ids == [{9}]


@pytest.mark.parametrize(
    ("transaction", "following", "expected"),
    [
        (106, 107, True),  # given out, and its commit is not acknowledged yet
        (107, 107, False),  # never given out by this primary: of a transaction that a fail over lost
        (900_000, 107, False),  # of the cluster before a restore
        (103, 107, True),
    ],
)
def test_a_primary_does_not_wait_for_an_id_that_it_never_gave_out(
    transaction: int, following: int, expected: bool
) -> None:
    assert hidden(transaction, "100:105:100,103", following) is expected
