"""Marks in the metadata of committed offsets: what a worker may have begun, and what was reached before the offset.

Enters and leaves: the metadata text of one partition's committed offset: words, in any order.

    clean          nothing behind the committed offset was ever begun
    (none)         messages right behind the committed offset may have been begun
    begun@N[,M]    the same, and also messages right behind the offsets N and M, which a rewind has left behind
    rewound@N      the group has processed the messages up to N before
    newest@V       the highest version of a message before the committed offset, hexadecimal (stream/pipeline/late.py)

Any other text counts as none. So a commit without a mark makes the partition doubtful, never clean.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

CLEAN: Final = "clean"
_END: Final = "."  # librdkafka's client may return bytes of other memory behind the text
_WORD = re.compile(r"clean|begun@\d+(?:,\d+)*|rewound@\d+|newest@[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Mark:
    """One partition's mark."""

    clean: bool = False
    begun: tuple[int, ...] = ()  # in order
    rewound: int = 0
    newest: int = 0

    @classmethod
    def of(cls, metadata: str | None) -> Self:
        """The mark in a commit's metadata."""
        words = (metadata or "").partition(_END)[0].split()
        if not all(map(_WORD.fullmatch, words)):
            return cls()
        values = dict(word.split("@") for word in words if "@" in word)
        begun = {int(offset) for offset in values["begun"].split(",")} if "begun" in values else set()
        return cls(
            clean=CLEAN in words,
            begun=tuple(sorted(begun)),
            rewound=int(values.get("rewound", "0")),
            newest=int(values.get("newest", "0"), 16),
        )

    def __str__(self) -> str:
        """The metadata."""
        words = [CLEAN] if self.clean else []
        if self.begun:
            words.append(f"begun@{','.join(map(str, sorted(set(self.begun))))}")
        if self.rewound:
            words.append(f"rewound@{self.rewound}")
        if self.newest:
            words.append(f"newest@{self.newest:x}")
        return " ".join(words) + _END if words else ""


def after_rewind(committed: int, mark: Mark, *, to: int) -> Mark:
    """The mark for a partition whose committed offset is moved to another, from `committed`."""
    reached = max(committed, mark.rewound)
    return Mark(
        clean=mark.clean,
        begun=() if mark.clean else tuple(sorted({committed, *mark.begun})),
        rewound=reached if reached > to else 0,
        newest=mark.newest if to >= committed else 0,  # of what lies before an earlier offset it is too high
    )
