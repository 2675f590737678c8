"""scorestream worker: a signal before Faust's loop runs."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from stream.commands import doctor_systems
from stream.live import worker


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_systems, "look_at_start", lambda _: None)


def test_a_signal_amid_a_call_that_no_exception_may_leave_ends_it_well(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starting_a_thread(_: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            raise KeyError("a thread that has not begun")

    monkeypatch.setattr(worker, "run", starting_a_thread)
    assert run("worker")[0] == 0


def test_an_error_without_a_signal_is_none_of_its_ends(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> int:
        raise KeyError("a bug")

    monkeypatch.setattr(worker, "run", failing)
    with pytest.raises(KeyError, match="a bug"):
        run("worker")
