"""Joins the calls of several threads into one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Joins requests: those that arrive during a call wait for its end, and go into the next call together.

    So only one call runs at a time, and busy callers make fewer calls for each request. Databases call this group
    commit. A lone caller never waits.

    Args:
        call: takes the requests in order, and returns an answer for each. All callers get the error that it raises.
    """

    def __init__(self, call: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._call = call
        self._waiting: list[tuple[Q, Future[A]]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def __call__(self, asked: Q) -> A:
        """Returns or raises when a call that contained this request has ended. For any thread."""
        own: Future[A] = Future()
        with self._lock:
            self._waiting.append((asked, own))
        with self._turn:
            if not own.done():  # no running call took this request along
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
