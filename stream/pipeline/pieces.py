"""A scorecard with very many scores in pieces, so that a reindex holds few rows at a time.

Enters: numbers of rows. Leaves: groups of scorecards that are reindexed together, or the pieces of one: for each, the
endings of the ids of its rows. Both stores can select by them alone, however they order ids. Ids that were made in
order share their beginnings, not their endings. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ROWS_AT_ONCE = 50_000  # most rows of a table in one piece; 100 MB with all that is made of them
MOST = 256  # pieces of one scorecard
_ENDINGS = [f"{number:02x}" for number in range(256)]


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of a scorecard whose own ids have one of these last two hex digits, in lower case.

    Attributes:
        others: the rows, too, whose ids end in no hex digits. They are no UUIDs, and will be withheld.
    """

    endings: tuple[str, ...]
    others: bool


def pieces(count: int) -> list[Piece]:
    """This number of pieces, from 1 to MOST, which together have every row once."""
    return [Piece(tuple(_ENDINGS[at::count]), others=at == 0) for at in range(count)]


def pieces_for(rows: int, most: int) -> int:
    """How many pieces leave each well below `most` rows, though ids do not spread quite evenly."""
    return min(MOST, max(2, -(-rows * 3 // (2 * most))))


def groups(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """The scorecards in their order, in groups of at most `most` rows together. A larger one is alone in its group."""
    group: list[str] = []
    rows = 0
    for scorecard_id, size in sizes.items():
        if group and rows + size > most:
            yield group
            group, rows = [], 0
        group.append(scorecard_id)
        rows += size
    if group:
        yield group
