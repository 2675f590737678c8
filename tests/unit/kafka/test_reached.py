"""What a partition had reached before an offset, from the messages right before it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stream.epochs import Epochs
from stream.kafka import reached
from stream.kafka.topic_partition import TP
from stream.pipeline.ordering import version
from tests.fakes import envelope
from tests.fakes.rows import row_of

T = TP("t.app.scores", 0)
EPOCHS = Epochs(first=1)


def _message(*sequence: int | None, **source: Any) -> bytes:
    row = row_of("scores", "50000000-0000-4000-8000-000000000000", scorecard_id="5c000000-0000-4000-8000-000000000000")
    return envelope("scores", "u", row, row, sequence=sequence, **source)  # type: ignore[arg-type]


def test_the_highest_counts_and_what_tells_no_order_does_not() -> None:
    # given messages in order, a copy, a tombstone, a damaged one, and the first transaction after a snapshot
    values = [_message(100, 110), _message(200, 210), _message(90, 95), None, b"{", _message(None, 999)]
    # then the highest of those that tell an order counts, with the epoch of its time
    assert reached.highest(values, EPOCHS) == version('["200","210"]', epoch=1)
    assert reached.highest([None], EPOCHS) == 0


def test_a_row_of_the_initial_snapshot_counts() -> None:
    assert reached.highest([_message(None, 50, snapshot="true")], EPOCHS) == version('["50","50"]', epoch=1)


def test_only_the_last_messages_before_the_offset_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[TP, tuple[int, int]] = {}

    def records(_broker: object, ranges: dict[TP, tuple[int, int]], **_: object) -> list[Any]:
        asked.update(ranges)
        return [SimpleNamespace(topic=lambda: T.topic, partition=lambda: 0, value=lambda: _message(100, 110))]

    monkeypatch.setattr(reached, "records", records)
    other = TP("t.app.scores", 1)
    broker: Any = SimpleNamespace(starts=lambda tps: dict.fromkeys(tps, 40))
    # when a partition is read from far inside of the log, and another from its start
    found = reached.reached_before(broker, {T: 10_000, other: 40}, EPOCHS, group="g")
    # then the messages right before the first are looked at, and none of the second
    assert asked == {T: (10_000 - reached.LOOK_BACK, 10_000), other: (40, 40)}
    assert found == {T: version('["100","110"]', epoch=1)}
