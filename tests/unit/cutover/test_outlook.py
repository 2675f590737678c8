"""What `cutover --dry-run` says, and that it is refused where the cutover is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stream.cutover import outlook as outlooks
from stream.cutover.outlook import Outlook, outlook
from stream.errors import UsageError
from stream.kafka.topic_partition import TP
from stream.replay.state import Replay
from tests.unit.cutover.test_checks import replay

A, B = TP("s.app.scores", 0), TP("s.app.scores", 1)


class Shards:
    database, count = "live", 2

    def of(self, database: str) -> Shards:
        assert database == "green"
        return self


class Broker:
    """Two partitions; the replay's group is 40 messages behind in one."""

    def source_partitions(self) -> list[TP]:
        return [A, B]

    def committed(self, group: str, _tps: Any) -> dict[TP, int]:
        assert group == "g"
        return {A: 60, B: 100}

    def ends(self, _tps: Any) -> dict[TP, int]:
        return {A: 100, B: 100}


def looked(monkeypatch: pytest.MonkeyPatch, held: Replay, **options: bool) -> Outlook:
    class Topic:
        def __init__(self, _broker: Any) -> None: ...
        def __enter__(self) -> Topic:
            return self

        def __exit__(self, *_: object) -> None: ...
        def get(self, _name: str) -> Replay:
            return held

    monkeypatch.setattr(outlooks, "ReplayTopic", Topic)
    monkeypatch.setattr(outlooks, "check_marks", lambda _shards: None)
    stores: Any = SimpleNamespace(broker=Broker(), shards=Shards())
    return outlook(stores, "r", **options)


def test_an_exchange_names_both_databases_and_what_is_to_be_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(monkeypatch, replay())
    assert found == Outlook("r", "exchange", "live", "green", 2, 40)
    assert str(found) == (
        "would catch up 40 messages, compare the shadow with Postgres, and exchange the tables of live and green on 2 "
        "shards"
    )


def test_the_way_back_and_the_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    done = replay(note="done")
    assert "compare" not in str(looked(monkeypatch, done, back=True))
    assert str(looked(monkeypatch, done, drop=True)) == ("the old tables, database green on 2 shards, would be dropped")


@pytest.mark.parametrize(
    ("held", "options", "says"),
    [
        (replay(state="stopped"), {}, "is stopped, not done"),
        (replay(), {"back": True}, "was not cut over"),
        (replay(), {"drop": True}, "no old tables to drop"),
    ],
)
def test_what_the_cutover_would_refuse_is_refused(
    monkeypatch: pytest.MonkeyPatch, held: Replay, options: dict[str, bool], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        looked(monkeypatch, held, **options)
