"""Which shard of how many a table belongs to: written into its COMMENT by `scorestream schema apply`.

The list of shards alone decides the shard of a row, by its length and its order. A table that carries its own place in
that list can be compared with it. With another list each later change of a row would go to another shard, away from its
earlier state.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stream.settings_sections import ClickHouseSettings

_MARK = re.compile(r"scorestream shard (\d+) of (\d+), buckets of (\d+) days")


@dataclass(frozen=True, slots=True)
class ShardMark:
    """A table's place: shard `number`, from 0, of `count`, by buckets of this many days."""

    number: int
    count: int
    bucket_days: int

    def __str__(self) -> str:
        return f"scorestream shard {self.number} of {self.count}, buckets of {self.bucket_days} days"


def wanted_mark(settings: ClickHouseSettings, shard: int) -> ShardMark:
    """The place that the settings give to shard number `shard`."""
    return ShardMark(shard, len(settings.shards), settings.shard_bucket_days)


def mark_in(comment: str) -> ShardMark | None:
    """The place that a table's comment names; None: the table was made by an earlier release, or by hand."""
    found = _MARK.search(comment)
    return ShardMark(*map(int, found.groups())) if found else None


def with_mark(comment: str, mark: ShardMark) -> str:
    """A table's comment with its place in it; the operator's own words stay."""
    own = _MARK.sub("", comment).rstrip("; ")
    return f"{own}; {mark}" if own else str(mark)
