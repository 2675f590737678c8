"""Calls of several threads that are made together, as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """What is asked for while a call is under way waits for its end, and is then asked for in one call.

    So there is never more than one call at a time, and the busier the callers, the fewer the calls for each: databases
    call it group commit. A lone caller never waits.

    Args:
        call: takes what was asked for, in that order, and returns an answer for each. What it raises, all get.
    """

    def __init__(self, call: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._call = call
        self._waiting: list[tuple[Q, Future[A]]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, asked: Q) -> A:
        """Returns or raises when a call that contained this has ended. For any thread."""
        own: Future[A] = Future()
        with self._lock:
            self._waiting.append((asked, own))
        with self._turn:
            if not own.done():  # nobody took it along
                self._run()
        return own.result()

    def _run(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, []
        try:
            answers = self._call([asked for asked, _ in taken])
        except BaseException as error:
            for _, future in taken:
                future.set_exception(error)
            return
        for (_, future), answer in zip(taken, answers, strict=True):
            future.set_result(answer)
