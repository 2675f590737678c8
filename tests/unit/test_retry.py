"""Retries: what passes by itself is tried again, anything else is raised at once, and a stop ends the wait."""

from __future__ import annotations

import logging
import threading

import pytest

from stream.errors import KafkaUnavailable, PostgresUnavailable, Refused, Retry, UsageError
from stream.retry import Retrier
from stream.sections import RetrySettings

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
    retrier = Retrier(SHORT, stopping=threading.Event(), on_retry=seen.append)

    # when it is called
    with caplog.at_level(logging.WARNING, logger="stream.retry"):
        assert retrier(step) == 3

    # then each failure was counted, and logged with its cause as a field
    assert seen == ["PostgresUnavailable", "KafkaUnavailable"]
    assert [(each.message, vars(each)["cause"]) for each in caplog.records] == [
        ("retry", "away"), ("retry", "away, too")
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
    assert step.calls == 2
