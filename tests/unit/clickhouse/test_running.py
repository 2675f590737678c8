"""Queries under way: the end of a process does not wait for a server that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stream.clickhouse.running import Running


def test_a_server_that_is_away_does_not_hold_up_the_end() -> None:
    # given a query at a server that accepts no connection
    away, running = threading.Event(), Running()

    @contextmanager
    def server(shard: int, replica: int) -> Iterator[Any]:
        away.wait(5)
        yield None

    with running.query(0, 0):
        # when all are to end, then the call returns
        began = time.monotonic()
        running.kill(server, within_s=0.05)
    assert time.monotonic() - began < 2
    away.set()


def test_a_query_that_has_ended_is_not_killed() -> None:
    running, asked = Running(), []
    with running.query(0, 0, {"max_threads": 1}) as settings:
        assert settings["max_threads"] == 1
    running.kill(lambda *where: asked.append(where))  # type: ignore[arg-type,func-returns-value]
    assert not asked
    with pytest.raises(ConnectionAbortedError), running.query(0, 0):
        pass
