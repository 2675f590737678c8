"""The moves of a rewind, without a broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stream.epochs import ONE_EPOCH
from stream.errors import UsageError
from stream.kafka.marks import Mark
from stream.kafka.topic_partition import TP
from stream.replay import rewind
from stream.replay.rewind import Move, check_idle, undo
from stream.settings_sections import KafkaSettings
from stream.times import parse_duration, parse_moment
from stream.topic_names import TopicNames

A, B = TP("scorestream.app.scores", 0), TP("scorestream.app.scores", 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h30m", 9000), ("1d", 86_400), ("PT10M", 600), ("P1DT1S", 86401)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10", "PT", "-5m"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError, match="no duration"):
        parse_duration(text)


def test_moments_are_not_in_the_future():
    assert parse_moment("1970-01-01T00:00:01") == 1000
    assert parse_moment("now", now_ms=5) == 5
    with pytest.raises(UsageError, match="in the future"):
        parse_moment("2999-01-01")


def test_moves_count_and_undo():
    moves = [Move(A, 80, 50, 100), Move(B, None, 10, 50)]
    assert [move.messages for move in moves] == [30, 40]
    assert undo(TopicNames("scorestream", "app", "dl"), moves) == "scorestream rewind --to-offset scores:0=80 --yes"
    assert undo(TopicNames("scorestream", "app", "dl"), moves[1:]) == ""


def test_members_are_named_when_it_is_refused():
    member = SimpleNamespace(client_id="faust", host="10.0.0.7")
    settings = KafkaSettings()
    broker = SimpleNamespace(
        live_group="live", settings=settings, group=lambda name: SimpleNamespace(members=(member, member))
    )
    with pytest.raises(UsageError, match=r"2 active members \(faust on 10\.0\.0\.7\): stop the workers"):
        check_idle(broker)
    check_idle(SimpleNamespace(live_group="live", group=lambda name: SimpleNamespace(members=())))


def test_what_the_partitions_had_reached_is_kept_with_the_new_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    # given two partitions that are moved back, and one that is moved on
    c = TP("scorestream.app.scores", 2)
    committed: dict[TP, str] = {}

    class Reader:
        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Reader:
            return self

        def __exit__(self, *_: object) -> None: ...
        def marks(self, tps: list[TP]) -> dict[TP, tuple[int, str]]:
            return {A: (80, "clean newest@ff."), B: (90, "newest@ff."), c: (50, "clean newest@ee.")}

        def commit(self, offsets: dict[TP, int], *, metadata: dict[TP, str]) -> None:
            assert offsets == {A: 50, B: 60, c: 70}
            committed.update(metadata)

    asked: list[dict[TP, int]] = []
    monkeypatch.setattr(rewind, "LogReader", Reader)
    monkeypatch.setattr(
        rewind, "reached_before", lambda _broker, offsets, *_, **__: asked.append(dict(offsets)) or {A: 0xAA}
    )
    broker = SimpleNamespace(live_group="live", group=lambda name: SimpleNamespace(members=()))
    # when the offsets are committed
    moves = [Move(A, 80, 50, 100), Move(B, 90, 60, 100), Move(c, 50, 70, 100)]
    rewind.execute(broker, moves, ONE_EPOCH)
    # then those that went back are looked at, and each knows what it can
    assert asked == [{A: 50, B: 60}]
    newest = {tp: Mark.of(text).newest for tp, text in committed.items()}
    assert newest == {A: 0xAA, B: 0, c: 0xEE}
