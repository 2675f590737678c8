"""One shard's parts and newest heartbeat."""

from __future__ import annotations

from typing import Any

from stream.errors import ClickHouseRefused
from stream.monitor.canary import SeenBeat
from stream.monitor.sources.shards import Parts, ShardSource


class FakeShards:
    """Answers for the parts and for the heartbeat; None = the table is missing."""

    database = "live"

    def __init__(self, beat: tuple[Any, ...] | None) -> None:
        self.beat = beat
        self.counted = 0

    def ask(self, shard: int, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        if "system.parts" in query:
            self.counted += 1
            return [("score", 20, 5)]
        if self.beat is None:
            raise ClickHouseRefused("no such table")
        return [self.beat]


def source(beat: tuple[Any, ...] | None) -> tuple[ShardSource, FakeShards]:
    shards: Any = FakeShards(beat)
    return ShardSource(shards, 1), shards


def test_parts_are_counted_at_every_fifth_look_only() -> None:
    reader, shards = source((7, 100.0, 100.1, 1))
    for _ in range(6):
        found = reader.read()
    assert shards.counted == 2
    assert found.parts == {"score": Parts(20, 5)}
    assert found.beat == SeenBeat(7, 100.0, 100.1)


def test_an_empty_heartbeat_table_is_not_a_missing_one() -> None:
    empty, missing = source((0, 0.0, 0.0, 0))[0].read(), source(None)[0].read()
    assert (empty.beat, empty.has_heartbeat) == (None, True)
    assert (missing.beat, missing.has_heartbeat) == (None, False)
