"""The work of a replay's threads: each has clients and a guard of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from stream.kafka.log_reader import Stretch
from stream.kafka.topic_partition import TP
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.replay import work as module
from stream.replay.plan import Pass, ReplayPlan, Span
from stream.replay.work import Work

SPAN = Span("p.app.scores", 0, 0, 1)
PLAN = ReplayPlan(name="r", group="g", created_ms=1, tables=("scores",), main=Pass("main", (SPAN,)), ends=(SPAN,))


class FakeClients:
    made: list[FakeClients]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.source = None
        self.guards: list[DeadLetterGuard] = []
        self.letters: list[bool] = []
        FakeClients.made.append(self)

    def pipeline(self, table: str, *, guard: DeadLetterGuard, letters: bool, **_: Any) -> Any:
        self.guards.append(guard)
        self.letters.append(letters)
        done = SimpleNamespace(refused={}, rows=0, stages={}, ledger=SimpleNamespace(totals=dict))
        return SimpleNamespace(process=lambda *_, **__: done)

    def close(self) -> None: ...


def test_each_thread_asks_a_guard_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeClients.made = []
    monkeypatch.setattr(module, "record", lambda *_, **__: None)
    work = Work(FakeClients, PLAN, guard=lambda: DeadLetterGuard(share=0.1, window=100))
    stretch = Stretch(TP("p.app.scores", 0), [SimpleNamespace()], start=0, end=1)
    for table in ("scores", "scores", "scorecards"):
        work(table, [stretch], "main")
    with ThreadPoolExecutor(1) as other:
        other.submit(work, "scores", [stretch], "main").result()
    first, second = FakeClients.made
    assert len(first.guards) == 2  # of each table one pipeline, and one guard of the thread
    assert len({id(guard) for guard in (*first.guards, *second.guards)}) == 2


def test_a_tail_pass_produces_no_second_letter_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a message that cannot be read, so that it may be a delete
    FakeClients.made = []
    monkeypatch.setattr(module, "record", lambda *_, **__: None)
    work = Work(FakeClients, PLAN)
    stretch = Stretch(TP("p.app.scores", 0), [SimpleNamespace(value=lambda: b"{", key=lambda: b"k")], start=0, end=1)
    # when the main pass refuses it, and the tail pass takes it again
    for kind in ("main", "tail"):
        work("scores", [stretch], kind)
    # then only the main pass produces its letter
    assert FakeClients.made[0].letters == [True, False]
