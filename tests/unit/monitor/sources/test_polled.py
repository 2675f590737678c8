"""All sources together: each is asked, and one that hangs holds up neither a look nor the end."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from stream.monitor.sources import polled as module
from stream.monitor.sources.polled import Polled
from testbed.universe import wait_for


class Source:
    """Answers with its name, unless it hangs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hangs: threading.Event | None = None
        self.added: list[str] = []
        self.closed = False

    def read(self, *_: Any) -> str:
        if self.hangs is not None:
            self.hangs.wait(20)
        return self.name

    def add(self, url: str) -> None:
        self.added.append(url)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def sources() -> dict[str, Source]:
    return {name: Source(name) for name in ("kafka", "slot", "shard", "processes", "replays", "backfills")}


@pytest.fixture
def polled(sources: Any) -> Polled:
    return Polled(
        kafka=sources["kafka"],
        slot=sources["slot"],
        connector=lambda: None,
        shards=[sources["shard"]],
        processes=sources["processes"],
        replays=sources["replays"],
        backfills=sources["backfills"],
        interval_s=0.05,
    )


def test_a_source_that_hangs_leaves_the_others_their_answers(
    monkeypatch: pytest.MonkeyPatch, polled: Polled, sources: dict[str, Source]
) -> None:
    # given a shard that hangs
    sources["shard"].hangs = threading.Event()
    monkeypatch.setattr(module, "_ONCE_S", 0.1)
    # when all are asked once
    polled.once()
    sources["shard"].hangs.set()
    # then every other one has answered
    answered = {poller.source.name for poller in polled.all if poller.source.at is not None}
    assert answered == {"kafka", "postgres", "connect", "processes", "replays", "backfills"}


def test_a_look_at_kafka_is_followed_by_its_conclusion(polled: Polled, sources: dict[str, Source]) -> None:
    concluded = threading.Event()
    polled.then = concluded.set
    polled.start(also="http://127.0.0.1:6066")
    assert concluded.wait(20)
    polled.close(within_s=20)
    assert sources["processes"].added == ["http://127.0.0.1:6066"]
    wait_for("the clients are closed", lambda: all(each.closed for each in sources.values()), deadline_s=20)


def test_the_end_does_not_wait_for_a_source_that_hangs(polled: Polled, sources: dict[str, Source]) -> None:
    sources["kafka"].hangs = threading.Event()
    polled.start()
    began = time.monotonic()
    polled.close(within_s=0.1)
    assert time.monotonic() - began < 10
    assert not sources["kafka"].closed
    sources["kafka"].hangs.set()
