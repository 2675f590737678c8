"""What a replay may cost: how late live is, and how many parts the shards have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import ClickHouseUnavailable, KafkaUnavailable
from stream.kafka.topic_partition import TP
from stream.replay import live_watch as module
from stream.replay.live_watch import Watch

A = TP("scores", 0)


class Systems:
    """The broker and the shards in one; the time goes on as the test says."""

    live_group, database, count = "live", "scorestream", 2

    def __init__(self) -> None:
        self.now = 0.0
        self.members = 1
        self.end, self.done = 10, 10
        self.parts: list[int | None] = [3, 7]  # of each shard; None: it does not answer
        self.away = False

    def group(self, _name: str) -> Any:
        return SimpleNamespace(members=self.members * [None])

    def source_partitions(self) -> list[TP]:
        return [A]

    def ends(self, _tps: Sequence[TP]) -> dict[TP, int]:
        if self.away:
            raise KafkaUnavailable("away")
        return {A: self.end}

    def committed(self, _group: str, _tps: Sequence[TP]) -> dict[TP, int]:
        return {A: self.done}

    def ask(self, shard: int, _query: str, values: Mapping[str, str]) -> list[tuple[int]]:
        assert values == {"database": "scorestream"}
        parts = self.parts[shard]
        if parts is None:
            raise ClickHouseUnavailable("away")
        return [(parts,)]


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> Systems:
    made = Systems()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def watch(systems: Systems) -> Watch:
    fake: Any = systems
    return Watch(fake, fake)


def test_lag_is_the_age_of_the_first_look_beyond_what_is_committed(systems: Systems) -> None:
    own = watch(systems)
    assert own.look(0).live_lag_s == 0
    # given messages that live does not commit
    systems.end = 20
    systems.now = 1.0
    own.look(0)
    systems.now = 3.0
    # then live is late since the look that saw them, but for the time between two commits
    assert own.look(0).live_lag_s == pytest.approx(1.75)


def test_without_a_live_worker_nothing_is_late(systems: Systems) -> None:
    systems.members, systems.end = 0, 1_000
    own = watch(systems)
    looked = own.look(0)
    assert (looked.live, looked.live_lag_s) == (False, 0.0)
    assert not own.live_runs


def test_the_fullest_shard_counts_and_one_that_is_away_is_left_out(systems: Systems) -> None:
    own = watch(systems)
    assert own.look(0).parts == 7
    systems.parts = [4, None]
    systems.now = 6.0
    assert own.look(0).parts == 4


def test_what_cannot_be_asked_keeps_its_last_answer_and_errors_count_for_a_minute(systems: Systems) -> None:
    own = watch(systems)
    own.look(2)
    systems.away, systems.now = True, 30.0
    looked = own.look(5)
    assert (looked.parts, looked.errors) == (7, 3)
    systems.now = 100.0
    assert own.look(5).errors == 0


def test_it_is_looked_at_twice_a_second_at_most(systems: Systems) -> None:
    own = watch(systems)
    systems.now = 1.0
    assert own.due()
    own.look(0)
    assert not own.due()
    systems.now = 1.5
    assert own.due()
