"""Calls of several threads become one, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from stream.clickhouse.group_commit import Together


class Server:
    """Doubles numbers. It answers when `go` is set, and refuses a 13."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.asked = threading.Event()
        self.go = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        self.asked.set()
        assert self.go.wait(10)
        if 13 in numbers:
            raise ValueError("13")
        return [number * 2 for number in numbers]


def ask(pool: ThreadPoolExecutor, together: Together[int, int], numbers: Sequence[int]) -> list[Future[int]]:
    """Asked by a thread each, and all of them wait."""
    futures = [pool.submit(together, number) for number in numbers]
    deadline = threading.Event()
    while len(together._waiting) < len(numbers) and not deadline.wait(0.001):
        pass
    return futures


def test_what_comes_while_a_call_is_under_way_is_asked_for_together() -> None:
    # given a call that is under way
    server = Server()
    together = Together(server)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(together, 1)
        assert server.asked.wait(10)
        # when three more ask
        others = ask(pool, together, [2, 3, 4])
        server.go.set()
        # then each has its answer, and there were two calls
        assert first.result(10) == 2
        assert sorted(future.result(10) for future in others) == [4, 6, 8]
    assert [sorted(call) for call in server.calls] == [[1], [2, 3, 4]]


def test_a_failure_is_everybodys_who_was_in_it_and_nobody_elses() -> None:
    server = Server()
    together = Together(server)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(together, 1)
        assert server.asked.wait(10)
        others = ask(pool, together, [2, 13])
        server.go.set()
        assert first.result(10) == 2
        for future in others:
            with pytest.raises(ValueError, match="13"):
                future.result(10)
    # and the next call is a new one
    assert together(5) == 10


def test_a_lone_caller_asks_at_once() -> None:
    server = Server()
    server.go.set()
    together = Together(server)
    assert [together(1), together(2)] == [2, 4]
    assert server.calls == [[1], [2]]
