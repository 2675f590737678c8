"""The events that may happen in a history, and the invariant's own error."""

from __future__ import annotations

from dataclasses import dataclass

from stream.tables import CHATS
from tests.fakes import (
    DAY_US,
)

REAL_LOOK = 5  # steps after which a real target is compared
MAX_BATCH = 4  # messages of one partition in a batch
PARTITIONS = 2
CHATS_IDS = [f"c0000000-0000-4000-8000-00000000000{n}" for n in range(2)]
CARD_IDS = [f"5c000000-0000-4000-8000-00000000000{n}" for n in range(3)]
SCORE_IDS = [f"50000000-0000-4000-8000-00000000000{n}" for n in range(4)]
_JANUARY = 1_767_225_600_000_000  # 2026-01-01
# The same month and shard twice, another shard of that month, another month on either shard; and none.
TIMES = [_JANUARY, _JANUARY + 5_000_000, _JANUARY + DAY_US, _JANUARY + 31 * DAY_US, _JANUARY + 32 * DAY_US]

_PLACE_COLUMNS = {"started_at", "scorecard_time", "conversation_id"}


class Violation(AssertionError):
    """An invariant does not hold."""


class Crash(BaseException):
    """The process is gone; no code catches this."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The events that may happen in a history, and its length."""

    rounds: int = 6  # after each everything comes to its end, and is compared
    steps: int = 40  # of a round
    workers: int = 2
    crashes: bool = True
    pauses: bool = True  # a rebalance while batches are in flight: their worker wakes later
    errors: bool = True
    late_inserts: bool = True  # an insert that failed for its client is executed afterwards
    replay: bool = True
    incremental: bool = True
    resend: bool = True  # the last transactions come again
    late: bool = True  # and any earlier one without those after it: a copied message
    toast: bool = True
    initial: bool = True  # some rows are there before the connector starts
    hidden: bool = True  # commits that the connector sees before look-ups do
    overtakes: bool = False  # commits become visible in another order than the WAL's: a known bound (decision 042)
    refused: bool = True  # values that ClickHouse cannot hold: infinity
    under_way: bool = True  # transactions that are open while the initial snapshot is read
    large: bool = True  # two rows are too many at once: live workers leave such reindexes aside
    identity: bool = True  # conversations and scorecards without REPLICA IDENTITY FULL, for a while
    rewinds: bool = False  # the live group is moved back
    cancels: bool = True  # a replay is cancelled before its tail pass; `replay cancel` repairs what it left
    fail_overs: bool = False  # to a server that lacks the last transactions, or to a restored copy
    windows: bool = True  # readers ask for spans of event time at the end of each round
    rows: int = 3  # scorecards; one score more, one chat less: the fewer, the more happens to each
    places: int = len(TIMES)  # event times that occur
    score_key: tuple[str, ...] = ("scorecard_id", "score_id")

    @property
    def ids(self) -> dict[str, list[str]]:
        return {
            CHATS: CHATS_IDS[: max(1, self.rows - 1)],
            "scorecards": CARD_IDS[: self.rows],
            "scores": SCORE_IDS[: self.rows + 1],
        }

    @property
    def times(self) -> list[int]:
        return TIMES[-self.places :]
