"""Has the pipeline passed a moment? First the connector's slot, then the live group's offsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import UsageError
from stream.kafka.topic_partition import TP
from stream.verify import caught_up as module
from stream.verify.caught_up import CaughtUp

SCORES = TP("t.app.scores", 0)


class World:
    """Postgres and brokers in one; each wait changes it by one step."""

    slot = "scorestream"
    schema = "app"
    live_group = "live"

    def __init__(self, *, slots: list[tuple[int | None, bool] | None], committed: list[dict[TP, int]]) -> None:
        self.slots = slots
        self.committed_at = committed
        self.ends_read = 0
        self.exists = True
        self.beaten = True
        self.statement = ""

    @contextmanager
    def asking(self, *_: str) -> Iterator[Any]:
        yield self

    def execute(self, statement: str, *_: Any) -> Any:
        self.statement = statement
        return self

    def fetchone(self) -> Any:
        if "has_table_privilege" in self.statement:
            return (True,)
        if "scorestream_heartbeat" in self.statement:
            return (1,) if self.beaten else None
        return self.slots.pop(0) if len(self.slots) > 1 else self.slots[0]

    def source_partitions(self) -> list[TP]:
        return [SCORES]

    def ends(self, _tps: Any) -> dict[TP, int]:
        self.ends_read += 1
        return {SCORES: 20}

    def starts(self, tps: Any) -> dict[TP, int]:
        return dict.fromkeys(tps, 5)

    def committed(self, _group: str, _tps: Any) -> dict[TP, int]:
        return self.committed_at.pop(0) if len(self.committed_at) > 1 else self.committed_at[0]

    def next_messages(self, behind: Mapping[TP, Any]) -> dict[TP, Any]:
        return {tp: SimpleNamespace(waiting=self.exists) for tp in behind}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.001)


def waited(world: Any, *, timeout_s: float = 20.0) -> tuple[bool, list[str], CaughtUp]:
    said: list[str] = []
    caught_up = CaughtUp(world, world)
    return caught_up.wait(100, timeout_s=timeout_s, on_wait=said.append), said, caught_up


def test_it_waits_for_the_slot_and_then_for_the_group() -> None:
    # given a connector that is behind at first, and then a group that is
    world = World(slots=[(60, True), (100, True)], committed=[{SCORES: 15}, {SCORES: 20}])
    # when the moment is awaited
    done, said, caught_up = waited(world)
    # then both were waited for, the ends were read once, and the same moment is not asked for again
    assert done
    assert said == [
        "the connector is 40 bytes of WAL behind",
        "the live workers are 5 messages behind on 1 partitions",
    ]
    assert world.ends_read == 1
    world.slots = [None]
    assert caught_up.wait(100, timeout_s=0)


def test_markers_at_the_end_are_no_messages() -> None:
    world = World(slots=[(100, True)], committed=[{SCORES: 19}])
    world.exists = False
    assert waited(world)[0]


def test_a_partition_without_a_commit_counts_from_the_start_of_its_log() -> None:
    done, said, _ = waited(World(slots=[(100, True)], committed=[{}]), timeout_s=0)
    assert not done
    assert said == ["the live workers are 15 messages behind on 1 partitions"]


def test_a_connector_that_does_not_run_is_named_when_the_time_is_over() -> None:
    done, _, caught_up = waited(World(slots=[(None, False)], committed=[{}]), timeout_s=0)
    assert not done
    assert caught_up.why == "the connector is 100 bytes of WAL behind, and does not run"


def test_without_a_slot_nothing_will_ever_pass() -> None:
    world = World(slots=[None], committed=[{}])
    with pytest.raises(UsageError, match=r"no replication slot 'scorestream'.*`scorestream recover`.*--no-wait"):
        waited(world)
    # and before the first start there is nothing to recover
    world.beaten = False
    with pytest.raises(UsageError, match=r"no replication slot 'scorestream'.*`scorestream connectors apply`"):
        waited(world)
