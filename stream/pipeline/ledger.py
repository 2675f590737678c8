"""The ledger: every message is in exactly one column of it, and the columns add up to what was consumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from stream.errors import LedgerImbalance
from stream.pipeline.aside import Aside


class Outcome(StrEnum):
    """What became of a message."""

    WRITTEN = "written"  # its row, or the reindexed scorecard, is in ClickHouse
    DROPPED = "dropped"  # its scorecard is an appeal
    SUPERSEDED = "superseded"  # a newer change of the row is known, or the scorecard is gone from Postgres
    WAITING = "waiting"  # no event time yet; the conversation's own message will index it
    RETIRED = "retired"  # a delete, or a change into an appeal: delete markers are written
    TOMBSTONE = "tombstone"  # Kafka's own delete marker; the delete came before it
    IGNORED = "ignored"  # nothing to do: a chat without scorecards, or a change outside a replay's filter
    DEAD_LETTER = "dead_letter"  # refused, kept whole in the dead-letter topic


@dataclass(slots=True)
class Ledger:
    """Messages of one topic by partition and outcome."""

    topic: str
    consumed: Counter[int] = field(default_factory=Counter)
    outcomes: dict[int, Counter[Outcome]] = field(default_factory=dict)

    def add(self, partition: int, outcomes: Iterable[Outcome], *, consumed: int) -> None:
        """Count the messages of one partition."""
        self.consumed[partition] += consumed
        self.outcomes.setdefault(partition, Counter()).update(outcomes)

    def check(self) -> None:
        """Check the sums. Raises LedgerImbalance when a partition's columns do not add up to what was consumed."""
        for partition, consumed in self.consumed.items():
            accounted = sum(self.outcomes.get(partition, Counter()).values())
            if accounted != consumed:
                raise LedgerImbalance(
                    f"{self.topic}-{partition}: {consumed} messages consumed, {accounted} accounted for"
                )

    def totals(self) -> Counter[Outcome]:
        """Messages by outcome, over all partitions."""
        total: Counter[Outcome] = Counter()
        for outcomes in self.outcomes.values():
            total.update(outcomes)
        return total


@dataclass(slots=True)
class Counts:
    """What was written besides the messages' own rows."""

    rows: int = 0  # rows and delete markers that ClickHouse acknowledged
    reindexed: int = 0  # scorecards that were read from Postgres and written again
    moved: int = 0  # scorecards whose place changed between a look-up and its confirmation
    withheld: dict[str, int] = field(default_factory=dict)  # by scorecard: rows in Postgres that ClickHouse cannot hold


@dataclass(slots=True, kw_only=True)
class Done(Counts):
    """What became of a batch."""

    ledger: Ledger
    late: int = 0  # messages that are older than one before them; their scorecards were reindexed
    ahead: int = 0  # messages that are newer than anything in Postgres' WAL; the same was done
    refused: dict[str, int] = field(default_factory=dict)  # dead letters by reason
    commit_ms: list[int] = field(default_factory=list)  # commit times in Postgres of the changes
    stages: dict[str, float] = field(default_factory=dict)  # seconds
    aside: Aside | None = None  # what the caller carries out before it commits (stream/pipeline/aside.py)
