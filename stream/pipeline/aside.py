"""Large reindexes that a batch leaves aside: they go on beside the messages that follow, which so do not wait for them.

Enters: a batch's plan. Leaves: scorecards, to be reindexed by `Settler.finish` before the offsets of their messages may
be committed. That may happen at any time and twice, as all reindexes: versions decide. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stream.pipeline.dead_letter import DeadLetter
from stream.pipeline.placement import Place
from stream.pipeline.refusal import applied

MOST_AT_ONCE = 2_000  # scorecards that a batch reindexes itself: about a second's work


@dataclass(slots=True)
class LaterLetter:
    """The dead letter of a message that names scorecards of which some are left aside.

    Attributes:
        scorecards: all that the message names.
        places, withheld: of those that the batch reindexed itself; as of `applied`.
    """

    letter: DeadLetter
    scorecards: list[str]
    places: dict[str, Place]
    withheld: dict[str, int]

    def tell(self, places: Mapping[str, Place], withheld: Mapping[str, int]) -> DeadLetter:
        """The letter that tells what was done, where the others were reindexed to these places."""
        told = applied(self.scorecards, {**self.places, **places}, {**self.withheld, **withheld})
        return replace(self.letter, applied=told)


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
        letters: of refused messages, to be sent when their scorecards are reindexed.
    """

    versions: dict[str, int]
    customers: set[str] = field(default_factory=set)
    unordered: set[str] = field(default_factory=set)
    anywhere: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    parts: set[int] = field(default_factory=set)
    again: bool = False
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
