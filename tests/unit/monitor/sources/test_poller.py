"""How often a source is asked, and what is left of it when it fails or hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stream.errors import KafkaUnavailable, PostgresTimeout, PostgresUnavailable
from stream.monitor.sources import poller as module
from stream.monitor.sources.poller import Pace, Poller
from testbed.universe import wait_for


@contextmanager
def polling(read: Callable[[], Any], **options: Any) -> Iterator[Poller[Any]]:
    poller = Poller("kafka", read, **{"every_s": 0.2, "pace": Pace()} | options)
    poller.start()
    try:
        yield poller
    finally:
        poller.close(timeout_s=1)


def test_an_error_keeps_the_last_answer_and_its_age() -> None:
    answers: list[Any] = [7]

    def read() -> int:
        if not answers:
            raise KafkaUnavailable("no broker")
        return int(answers.pop())

    with polling(read) as poller:
        failed = wait_for("an error", lambda: poller.source.error and poller.source, deadline_s=5)
        assert (failed.value, failed.error) == (7, "no broker")
        since = failed.error_since
        answers.append(8)
        wait_for("it answers again", lambda: poller.source.error is None and poller.source.value == 8, deadline_s=5)
        assert since <= poller.source.at


@pytest.mark.parametrize(("error", "slow"), [(PostgresTimeout("x"), True), (PostgresUnavailable("x"), False)])
def test_an_answer_that_takes_too_long_is_told_apart_from_none(error: Exception, slow: bool) -> None:
    def read() -> None:
        raise error

    assert Poller("postgres", read, every_s=1, pace=Pace()).once().slow is slow


def test_a_bug_of_a_source_or_of_who_is_told_ends_nothing() -> None:
    calls = []

    def told() -> None:
        calls.append(1)
        raise ZeroDivisionError

    with polling(lambda: 1 / 0, then=told) as poller:
        wait_for("asked again and again", lambda: len(calls) > 2, deadline_s=5)
        assert poller.source.error == "internal error; see the log"


def test_while_nobody_looks_it_is_asked_seldom_and_at_once_when_somebody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    pace = Pace(60)
    with polling(lambda: calls.append(time.monotonic()), pace=pace) as poller:
        wait_for("the first look", lambda: calls, deadline_s=5)
        assert pace.of(0.2) == 60
        # when a viewer looks
        assert pace.looked()
        poller.wake()
        poller.wait(5)
        assert len(calls) == 2
        wait_for("asked often now", lambda: len(calls) > 4, deadline_s=5)
        assert not pace.looked()
        # and later looks no more
        monkeypatch.setattr(module, "_LOOKED_S", -1.0)
        assert pace.of(0.2) == 60


def test_one_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANGS_S", 0.2)
    hangs, released = threading.Event(), threading.Event()

    def read() -> int:
        if hangs.is_set():
            released.wait(20)
        return 7

    with polling(read) as poller:
        wait_for("an answer", lambda: poller.source.value == 7, deadline_s=5)
        hangs.set()
        told = wait_for("it is reported", lambda: poller.source.error and poller.source, deadline_s=5)
        assert (told.value, told.error, told.ok) == (7, "no answer", False)
        hangs.clear()
        released.set()
        wait_for("it is reported no more", lambda: poller.source.ok, deadline_s=5)


def test_one_that_hangs_is_left_to_itself() -> None:
    released, closed = threading.Event(), []
    poller: Poller[Any] = Poller(
        "kafka", lambda: released.wait(20), every_s=1, pace=Pace(), close=lambda: closed.append(1)
    )
    poller.start()
    began = time.monotonic()
    poller.close(timeout_s=0.1)
    assert time.monotonic() - began < 1
    assert not closed  # its clients may still be in use
    released.set()
