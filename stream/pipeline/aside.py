"""Large reindexes that a batch leaves aside: they go on beside the messages that follow, which so do not wait for them.

Enters: a batch's plan. Leaves: scorecards, to be reindexed by `Settler.finish` before the offsets of their messages may
be committed. That may happen at any time and twice, as all reindexes: versions decide. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MOST_AT_ONCE = 2_000  # scorecards that a batch reindexes itself: about a second's work


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
    """

    versions: dict[str, int]
    customers: set[str] = field(default_factory=set)
    unordered: set[str] = field(default_factory=set)
    anywhere: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    parts: set[int] = field(default_factory=set)
    again: bool = False


def of_masses(scorecards: Iterable[str], gone: Collection[str], indexed: Mapping[str, Sequence[str]]) -> list[str]:
    """Scorecards that are too many to be reindexed at once.

    These are the scorecards of a large conversation, all that are gone, or all others. So one that becomes an appeal
    does not wait for those of a customer that is deleted.

    Args:
        gone: those that Postgres does not have.
        indexed: scorecards by conversation, where conversations ask for them.
    """
    large = {card: None for cards in indexed.values() if len(cards) > MOST_AT_ONCE for card in cards}
    rest = [card for card in scorecards if card not in large]
    for part in ([card for card in rest if card in gone], [card for card in rest if card not in gone]):
        if len(part) > MOST_AT_ONCE:
            large |= dict.fromkeys(part)
    return list(large)
