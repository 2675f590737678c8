"""Which cluster of Postgres a change comes from: the epoch of a version, chosen by the commit time of the change.

Enters: the settings' first epoch, and the times at which Postgres moved to another cluster. Leaves: an epoch for each
commit time. The commit time decides, whichever process reads the change. So a replay gives an old change the version
that it had.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self


@dataclass(frozen=True, slots=True)
class Epochs:
    """Epochs by commit time.

    Attributes:
        first: epoch of the changes before the first start.
        starts_ms: commit times in Unix milliseconds, ascending; each starts an epoch that is one higher.
    """

    first: int = 0
    starts_ms: tuple[int, ...] = ()

    @classmethod
    def parse(cls, first: int, starts: str) -> Self:
        """Read `starts`: ISO 8601 times with a zone, separated by commas.

        Raises:
            ValueError: a text is not a time, names no zone, or the times do not ascend.
        """
        found = [_milliseconds(text.strip()) for text in starts.split(",") if text.strip()]
        if found != sorted(set(found)):
            raise ValueError("the times must ascend")
        return cls(first, tuple(found))

    @property
    def last(self) -> int:
        """The highest epoch; its start may still be to come."""
        return self.first + len(self.starts_ms)

    def of(self, commit_ms: int) -> int:
        """Epoch of a change that was committed at this time."""
        return self.first + bisect_right(self.starts_ms, commit_ms)

    def present(self) -> int:
        """Epoch of a change that is committed now, by this host's clock."""
        return self.of(int(time.time() * 1000))

    def common(self, commits_ms: Sequence[int]) -> int | None:
        """The epoch that all these changes share; None when they come from several."""
        if not self.starts_ms or not commits_ms:
            return self.last
        low, high = self.of(min(commits_ms)), self.of(max(commits_ms))
        return low if low == high else None


def _milliseconds(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone: add Z or an offset")
    return int(at.timestamp() * 1000)


ONE_EPOCH = Epochs()
