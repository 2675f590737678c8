"""Retries with exponential backoff and jitter, for errors that pass by themselves; and polling with a deadline.

All other errors are raised at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from stream.errors import Retry
from stream.settings_sections import RetrySettings

log = logging.getLogger(__name__)
T = TypeVar("T")


class Retrier:
    """Calls a step until it succeeds.

    Args:
        stopping: an event that ends the present wait and raises the step's error. So a worker that gets SIGTERM during
            an outage ends, and commits nothing.
        on_retry: called with the error before each wait, for a metric or a display.
    """

    def __init__(
        self,
        settings: RetrySettings,
        *,
        stopping: threading.Event,
        on_retry: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._on_retry = on_retry
        self._initial_s = settings.initial_s
        self._stopping = stopping
        self._retrying = Retrying(
            retry=retry_if_exception_type(Retry),
            wait=wait_exponential_jitter(multiplier=settings.initial_s, max=settings.max_s, jitter=settings.initial_s),
            stop=stop_after_delay(settings.give_up_s) | stop_when_event_set(stopping),
            sleep=sleep_using_event(stopping),
            before_sleep=self._before_sleep,
            reraise=True,
        )

    def __call__(self, step: Callable[[], T], /) -> T:
        """Run a step, and return its result.

        Raises:
            Retry: the step failed for longer than `give_up_s`, or `stopping` is set.
        """
        try:
            return step()
        except Retry as error:  # tenacity's loop costs more than the call, so the first try goes without it
            self._tell(error, attempt=2, wait_s=self._initial_s)
            if self._stopping.wait(self._initial_s):
                raise
        return self._retrying.copy()(step)

    def _before_sleep(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        wait_s = state.next_action.sleep if state.next_action is not None else 0.0
        if error is not None:
            self._tell(error, attempt=state.attempt_number + 2, wait_s=wait_s)  # the first try was not tenacity's

    def _tell(self, error: BaseException, *, attempt: int, wait_s: float) -> None:
        self._on_retry(error)
        log.warning("retry", extra={"attempt": attempt, "wait_s": round(wait_s, 2), "cause": str(error)})


def poll(
    ask: Callable[[], T],
    ready: Callable[[T], bool] = bool,
    *,
    timeout_s: float,
    every_s: float,
    stopping: threading.Event | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Ask until the answer is ready, or the time is over; returns the last answer. It asks once at least.

    Args:
        stopping: an event that ends the wait early.
        clock: seconds; for tests.
    """
    pause = stopping or threading.Event()
    deadline = clock() + timeout_s
    while not ready(answer := ask()) and clock() < deadline and not pause.wait(every_s):
        pass
    return answer
