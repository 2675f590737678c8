"""A writer whose source keeps its size, without a stack."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from drills.soak import steady
from drills.soak.steady import Steady


class Session:
    """Answers with the ids that are there, and remembers the statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.values: list[Any] = []

    def execute(self, statement: str, values: Any = None) -> Any:
        self.statements.append(statement)
        self.values.append(values)
        return SimpleNamespace(fetchall=lambda: [("kept",)])


def test_now_and_then_it_forgets_what_is_gone_and_deletes_what_is_too_much(monkeypatch: Any) -> None:
    # given a writer that began with three scorecards
    now = [100.0]
    monkeypatch.setattr(steady.time, "monotonic", lambda: now[0])
    session: Any = Session()
    known: Any = SimpleNamespace(chats=["a"], scorecards=["x", "y", "z"])
    writing = Steady(session, 1, known=known)
    monkeypatch.setattr(steady.Writing, "step", lambda *_: "changed")
    # when its time has not come, then it changes rows
    assert writing.step(threading.Event()) == "changed"
    # when it has
    now[0] += steady.EVERY_S
    assert writing.step(threading.Event()) == "trimmed"
    # then it knows only what is there, and keeps as many as it had
    assert (writing.scorecards, writing.chats) == (["kept"], ["kept"])
    assert [each.split(" ")[0] for each in session.statements] == ["SELECT", "SELECT", "WITH", "DELETE", "DELETE"]
    assert {each["keep"] for each in session.values} == {3}
    # and its time begins again
    assert writing.step(threading.Event()) == "changed"
