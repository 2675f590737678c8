"""Large reindexes that a batch leaves aside: they go on beside the messages that follow, which so do not wait for them.

Enters: a batch's plan. Leaves: scorecards, to be reindexed by `Settler.finish` before the offsets of their messages may
be committed. That may happen at any time and twice, as all reindexes: versions decide. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.pipeline.dead_letter import DeadLetter
from stream.pipeline.placement import Place

MOST_AT_ONCE = 2_000  # scorecards that a batch reindexes itself: about a second's work


class LaterLetter(Protocol):
    """The dead letter of a message that names scorecards of which some are left aside."""

    def tell(self, places: Mapping[str, Place], withheld: Mapping[str, int]) -> DeadLetter:
        """The letter, which tells what was done, where those were reindexed to these places.

        Args:
            withheld: by scorecard, rows in Postgres that ClickHouse cannot hold.
        """
        ...


@dataclass(slots=True)
class Aside:
    """What is left aside.

    Attributes:
        versions: scorecard id -> version to write at.
        customers: customers under which rows may stand.
        unordered, anywhere: as of Plan.
        gone: as of `Settler.reindex`.
        parts: indexes of the partitions' messages that ask for it, in the batch.
        again: as of `Pipeline.process`.
        lost: the batch may have lost its partitions. Rows that it wrote of these scorecards may be out of place.
        letters: of refused messages, to be sent when their scorecards are reindexed.
    """

    versions: dict[str, int]
    customers: set[str] = field(default_factory=set)
    unordered: set[str] = field(default_factory=set)
    anywhere: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    parts: set[int] = field(default_factory=set)
    again: bool = False
    lost: bool = False
    letters: list[LaterLetter] = field(default_factory=list)


def of_large_conversations(indexed: Mapping[str, Sequence[str]]) -> list[str]:
    """Scorecards of conversations that have more of them than are reindexed at once; `indexed`: by conversation."""
    return [card for cards in indexed.values() if len(cards) > MOST_AT_ONCE for card in cards]


def of_masses(scorecards: Iterable[str], gone: Collection[str]) -> list[str]:
    """Scorecards that are more than are reindexed at once: all that are gone, or all others.

    So one that becomes an appeal does not wait for those of a customer that is deleted.

    Args:
        gone: those that Postgres does not have.
    """
    apart: tuple[list[str], list[str]] = [], []
    for card in scorecards:
        apart[card in gone].append(card)
    return [card for part in apart if len(part) > MOST_AT_ONCE for card in part]
