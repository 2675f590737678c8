"""Marks in the metadata of committed offsets: the messages that a worker may have begun behind the offset.

Enters and leaves: the metadata text of one partition's committed offset.

    clean          no message behind the committed offset was ever begun
    (empty)        messages right behind the committed offset may have been begun
    begun@N[,M]    the same, and also messages right behind the offsets N and M, which a rewind has left behind

Any other text counts as empty. So a commit without a mark makes the partition doubtful, never clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

CLEAN: Final = "clean"
_BEGUN = re.compile(r"begun@(\d+(?:,\d+)*)")


def begun(metadata: str) -> tuple[int, ...]:
    """The offsets N and M of the mark, in order; () when it has none."""
    match = _BEGUN.fullmatch(metadata)
    return tuple(sorted({int(offset) for offset in match[1].split(",")})) if match is not None else ()


def mark(places: Iterable[int]) -> str:
    """The metadata that names these offsets; empty for none."""
    kept = sorted(set(places))
    return f"begun@{','.join(map(str, kept))}" if kept else ""


def after_rewind(committed: int, metadata: str) -> str:
    """The metadata after a rewind moves the committed offset away from `committed`, which had `metadata`."""
    return CLEAN if metadata == CLEAN else mark([committed, *begun(metadata)])
