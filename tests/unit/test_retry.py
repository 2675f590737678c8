"""Retries: what passes by itself is tried again, anything else is raised at once, and a stop ends the wait."""

from __future__ import annotations

import logging
import threading

import pytest

from stream.errors import KafkaUnavailable, PostgresUnavailable, Refused, Retry, UsageError
from stream.retry import Retrier, poll
from stream.settings_sections import RetrySettings

SHORT = RetrySettings(initial_s=0.001, max_s=0.002, give_up_s=0.05)


class Step:
    """Raises these errors one after another, then returns its own number of calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


def test_a_transient_error_is_tried_again_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    # given a step that fails twice
    step, seen = Step(PostgresUnavailable("away"), KafkaUnavailable("away, too")), list[str]()
    retrier = Retrier(SHORT, stopping=threading.Event(), on_retry=lambda error: seen.append(type(error).__name__))

    # when it is called
    with caplog.at_level(logging.WARNING, logger="stream.retry"):
        assert retrier(step) == 3

    # then each failure was counted, and logged with its cause and the number of the next try as fields
    assert seen == ["PostgresUnavailable", "KafkaUnavailable"]
    own = [each for each in caplog.records if each.name == "stream.retry"]
    assert [(each.message, vars(each)["cause"], vars(each)["attempt"]) for each in own] == [
        ("retry", "away", 2), ("retry", "away, too", 3)
    ]  # fmt: skip


@pytest.mark.parametrize("error", [UsageError("no"), Refused("bad_uuid", "no"), ValueError("no")])
def test_any_other_error_is_raised_at_once(error: Exception) -> None:
    step = Step(error)
    with pytest.raises(type(error)):
        Retrier(SHORT, stopping=threading.Event())(step)
    assert step.calls == 1


def test_it_gives_up_with_the_steps_own_error() -> None:
    step = Step(*[PostgresUnavailable("still away")] * 10_000)
    with pytest.raises(PostgresUnavailable, match="still away"):
        Retrier(SHORT, stopping=threading.Event())(step)
    assert step.calls > 2


def test_a_stop_ends_the_wait() -> None:
    # given a wait that would be long, and a stop that comes with the first failure
    stopping = threading.Event()
    long = RetrySettings(initial_s=60, max_s=60, give_up_s=600)
    step = Step(PostgresUnavailable("away"), PostgresUnavailable("away"))
    # when the step fails, then the error arrives at once
    with pytest.raises(Retry):
        Retrier(long, stopping=stopping, on_retry=lambda _: stopping.set())(step)
    assert step.calls == 1


def test_it_waits_before_the_second_try() -> None:
    # given a first wait that is longer than the test
    stopping, step = threading.Event(), Step(PostgresUnavailable("away"))
    long = RetrySettings(initial_s=60, max_s=60, give_up_s=600)

    def call() -> None:
        with pytest.raises(Retry):
            Retrier(long, stopping=stopping)(step)

    caller = threading.Thread(target=call)
    # when the first try failed
    caller.start()
    assert poll(lambda: step.calls == 1, timeout_s=10, every_s=0.001)
    # then there is no second one, and a stop ends the wait with the step's error
    caller.join(0.05)
    assert (caller.is_alive(), step.calls) == (True, 1)
    stopping.set()
    caller.join(10)
    assert (caller.is_alive(), step.calls) == (False, 1)


class Clock:
    """Goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_polling_returns_the_first_answer_that_is_ready() -> None:
    answers = iter([0, 0, 7, 8])
    assert poll(lambda: next(answers), timeout_s=60, every_s=0.0) == 7


def test_polling_ends_with_the_last_answer_when_the_time_is_over() -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(len(asked))
        return asked[-1]

    last = poll(ask, lambda answer: answer > 100, timeout_s=3, every_s=0.0, clock=Clock())
    assert (last, len(asked)) == (2, 3)
    assert poll(ask, lambda _: False, timeout_s=0, every_s=60) == 3  # asked once, and not waited for


def test_a_stop_ends_polling() -> None:
    stopping = threading.Event()
    stopping.set()
    assert poll(lambda: 1, lambda _: False, timeout_s=60, every_s=60, stopping=stopping) == 1
