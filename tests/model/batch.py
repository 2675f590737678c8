"""One batch of the real Pipeline, in a thread that stops before every call that leaves the process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stream.pipeline.dead_letter import Message
from stream.pipeline.ledger import Done
from tests.fakes import (
    FakeFetched,
)
from tests.model.faults import (
    Crash,
)


class Batch:
    """A batch in flight: it runs in a thread of its own, one step at a time."""

    def __init__(self, table: str, parts: list[FakeFetched], work: Callable[[Batch], Done]) -> None:
        self.table = table
        self.parts = parts
        self.at = "start"
        self.aside = False  # it carries out what a batch left aside
        self.lost = False  # the partitions were given to another worker
        self.ended = False
        self.stall = (0, 0)  # the step at which it stands still, and for how many steps of the world
        self.steps = 0
        self.until = 0
        self.done: Done | None = None
        self.error: BaseException | None = None
        self._killed = False
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Run up to the next call that leaves the process, or to the end."""
        self.steps += 1
        self._go.release()
        self._back.acquire()
        if self.ended:
            self._thread.join()
            if self.error is not None and not isinstance(self.error, Crash):
                raise self.error

    def kill(self) -> None:
        """kill -9: no part of it runs any more."""
        self._killed = True
        while not self.ended:
            self.step()

    def pause(self, name: str) -> None:
        """Called in the batch's thread: let the others run."""
        self.at = name
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Crash

    def _run(self, work: Callable[[Batch], Done]) -> None:
        self._go.acquire()
        try:
            if not self._killed:
                self.done = work(self)
        except BaseException as error:
            self.error = error
        self.ended = True
        self._back.release()


def described(message: Message) -> str:
    if message.value is None:
        return short(message) + " tombstone"
    import json

    value = json.loads(message.value)
    row = value["after"] or value["before"]
    ids = "/".join(row[name][-2:] for name in ("scorecard_id", "score_id", "conversation_id") if row.get(name))
    return f"{short(message)} {value['op']} {ids} {value['source']['sequence']}"


def short(message: Message) -> str:
    return f"{message.topic.split('.')[-1]}-{message.partition}@{message.offset}"
