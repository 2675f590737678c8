"""Large reindexes that a batch leaves aside: they go on beside the messages that follow, which so do not wait for them.

Enters: a batch's plan. Leaves: scorecards, to be reindexed by `Settler.finish` before the offsets of their messages may
be committed. That may happen at any time and twice, as all reindexes: versions decide. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MOST_OF_CONVERSATION = 2_000  # scorecards of one conversation that are reindexed at once: about a second's work


@dataclass(slots=True)
class Aside:
    """What is left aside.

    Attributes:
        versions: scorecard id -> version to write at.
        customers: customers under which rows may stand.
        unordered, anywhere: as of Plan.
        parts: indexes of the partitions' messages that ask for it, in the batch.
        again: as of `Pipeline.process`.
    """

    versions: dict[str, int]
    customers: set[str] = field(default_factory=set)
    unordered: set[str] = field(default_factory=set)
    anywhere: set[str] = field(default_factory=set)
    parts: set[int] = field(default_factory=set)
    again: bool = False


def of_large_conversations(indexed: Mapping[str, Sequence[str]]) -> list[str]:
    """Scorecards of conversations that have more of them than are reindexed at once; `indexed`: by conversation."""
    return [card for cards in indexed.values() if len(cards) > MOST_OF_CONVERSATION for card in cards]
