"""Asks all installations, each in threads of its own: one that hangs makes only its own row old.

Enters: a function for each installation. Leaves: rows of the newest answers, and each one's document and last hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

from stream.fleet.exposition import exposition
from stream.fleet.rows import SILENT, Row, in_order, row, silent
from stream.monitor.history import History, course
from stream.monitor.readings import Answer
from stream.monitor.sources.poller import Pace, Poller
from stream.times import duration

Ask = Callable[[], dict[str, Any]]
STALE_S = 15.0  # age of an answer from which on the row is silent


class FleetLook:
    """All installations. `with`-able: it asks again and again meanwhile.

    Args:
        asks: name -> asks its monitor or its parts; raises Retry when they do not answer.
        every_s: interval between two questions to one installation.
    """

    def __init__(self, asks: Mapping[str, Ask], *, every_s: float = 5.0) -> None:
        pace = Pace()
        self._histories = {name: History() for name in asks}
        self._pollers = {
            name: Poller(
                name,
                _one_at_a_time(ask),
                every_s=every_s,
                pace=pace,
                then=partial(self._keep, self._histories[name], name),
            )
            for name, ask in asks.items()
        }
        self._stale_s = max(STALE_S, 3 * every_s)

    def once(self, *, timeout_s: float) -> list[Row]:
        """Ask all at once. An installation without an answer in time is silent; its thread ends with the process."""
        threads = [threading.Thread(target=poller.once, daemon=True) for poller in self._pollers.values()]
        deadline = time.monotonic() + timeout_s
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return self.rows(waited_s=timeout_s)

    def start(self) -> Self:
        """Ask again and again, until the end of the process."""
        for poller in self._pollers.values():
            poller.start()
        return self

    def stop(self) -> None:
        for poller in self._pollers.values():
            poller.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def rows(self, *, waited_s: float | None = None) -> list[Row]:
        """The newest answers, the worst first.

        Args:
            waited_s: what a row says that has none yet.
        """
        now = time.time()
        return in_order(self._row(name, poller.source, now, waited_s) for name, poller in self._pollers.items())

    def table(self) -> dict[str, Any]:
        """`now`, and `rows`, as the page shows them."""
        return {"now": time.time(), "rows": [each.as_json() for each in self.rows()]}

    def exposition(self) -> bytes:
        """The text for /metrics."""
        return exposition(self.rows())

    def __contains__(self, name: object) -> bool:
        return name in self._pollers

    def state(self, name: str) -> dict[str, Any] | None:
        """The document of one installation; None while it does not answer. Raises KeyError for another name."""
        source = self._pollers[name].source
        if source.value is None or source.at is None or time.time() - source.at >= self._stale_s:
            return None
        return source.value | {"fleet": "../../fleet"}

    def history(self, name: str, since: float, *, day: bool = False) -> dict[str, Any]:
        """The course of one installation after a Unix time, of the last hour or of the last day."""
        return self._histories[name].since(since, day=day)

    def _keep(self, history: History, name: str) -> None:
        """Add the newest answer of an installation to its last hour."""
        document = self.state(name)
        if document is None:
            history.add(time.time(), {}, level=SILENT, title="no answer")
        else:
            head = document["headline"]
            history.add(time.time(), course(document), level=head["level"], title=head["title"])

    def _row(self, name: str, source: Answer[dict[str, Any]], now: float, waited_s: float | None) -> Row:
        if source.value is not None and source.at is not None and now - source.at < self._stale_s:
            try:
                return row(name, source.value)
            except (KeyError, TypeError):
                return silent(name, "its monitor answers in another form: it may be of another release")
        if source.error is not None:
            since = f" for {duration(now - source.error_since)}" if source.error_since and waited_s is None else ""
            return silent(name, f"no answer{since}: {source.error}")
        return silent(name, "asked, no answer yet" if waited_s is None else f"no answer within {waited_s:g} s")


def _one_at_a_time(ask: Ask) -> Ask:
    """The first question may still hang when the next one comes, in another thread."""
    lock = threading.Lock()

    def asked() -> dict[str, Any]:
        with lock:
            return ask()

    return asked
