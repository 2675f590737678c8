"""How event times spread over the shards of a store."""

from __future__ import annotations

from stream.clickhouse.shards import Shards
from stream.pipeline.writes import Layout


def layout_of(shards: Shards) -> Layout:
    """Which shard a row belongs to, by the settings that the store was opened with."""
    return Layout(shards.count, shards.settings.shard_bucket_days)
