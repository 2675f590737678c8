"""Heartbeats on their way to the shards: a failure is counted and logged once, and delays no other shard."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stream import metrics
from stream.live import heartbeat
from stream.live.heartbeat import Heartbeats
from testbed.universe import wait_for


def value(beat: int) -> bytes:
    return b'{"after": {"id": 1, "beat": %d, "at": "2026-11-24T00:00:00.5Z"}}' % beat


class Shards:
    """Stand for the clients of two shards; shard 0 does what `fault` does."""

    def __init__(self) -> None:
        self.written: dict[int, list[int]] = {0: [], 1: []}
        self.fault: Any = lambda: None

    count, database = 2, "live"

    def close(self) -> None:
        pass

    @contextmanager
    def client(self, shard: int) -> Iterator[Any]:
        shards = self

        class Client:
            def insert(self, _table: str, rows: list[heartbeat.Beat], **_options: Any) -> None:
                if shard == 0:
                    shards.fault()
                shards.written[shard] += [row.beat for row in rows]

        yield Client()


@pytest.fixture
def shards() -> Shards:
    return Shards()


@pytest.fixture
def beats(shards: Any) -> Iterator[Heartbeats]:
    made = Heartbeats(shards)
    yield made
    made.close()


def count(shard: int, result: str) -> float:
    return metrics.HEARTBEATS.labels(str(shard), result)._value.get()


@pytest.mark.parametrize("error", [OSError("no route"), ZeroDivisionError("a bug")])
def test_an_error_is_counted_and_told_once_and_the_next_beat_is_tried(
    shards: Shards, beats: Heartbeats, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    shards.fault = fail
    failed = count(0, "failed")
    with caplog.at_level(logging.INFO, "stream.live.heartbeat"):
        for beat in (1, 2, 3):
            beats.offer([value(beat)])
            wait_for("it is counted", lambda beat=beat: count(0, "failed") == failed + beat, deadline_s=5)
            # the other shard has it all the same
            wait_for("the other shard", lambda beat=beat: shards.written[1][-1:] == [beat], deadline_s=5)
        # when the shard is back, then the next beat is written
        shards.fault = lambda: None
        beats.offer([value(4)])
        wait_for("written", lambda: shards.written[0] == [4], deadline_s=5)
        wait_for("told", lambda: "come through again" in caplog.text, deadline_s=5)
    assert caplog.text.count("heartbeat not written") == 1


def test_a_shard_that_hangs_holds_neither_the_other_nor_the_worker(shards: Shards, beats: Heartbeats) -> None:
    hanging, released = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        released.wait(10)

    shards.fault = hang
    try:
        beats.offer([value(1)])
        wait_for("it hangs", hanging.is_set, deadline_s=5)
        for beat in (2, 3):
            beats.offer([value(beat)])
            wait_for("the other shard", lambda beat=beat: shards.written[1][-1:] == [beat], deadline_s=5)
    finally:
        shards.fault = lambda: None
        released.set()
    # and of those that waited only the newest is written
    wait_for("the newest", lambda: shards.written[0] == [1, 3], deadline_s=5)


def test_of_a_backlog_only_the_newest_is_written(shards: Shards, beats: Heartbeats) -> None:
    beats.offer([value(beat) for beat in range(20_000)] + [None, b"no beat"])
    wait_for("written", lambda: shards.written == {0: [19_999], 1: [19_999]}, deadline_s=5)


def test_newest_beat_of_each_id_and_no_other_message() -> None:
    def value(beat: int) -> bytes:
        return json.dumps({"op": "u", "after": {"id": 1, "beat": beat, "at": "2026-11-24T00:00:00.5Z"}}).encode()

    found = heartbeat.beats([value(3), None, b"{", b'{"after": {"id": 1}}', value(4), value(2)])
    assert [each.beat for each in found] == [4]
    assert found[0].at.microsecond == 500_000
