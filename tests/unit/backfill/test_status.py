"""How far a backfill is, from its topic and the notifications."""

from __future__ import annotations

import pytest

from stream.backfill.notifications import parse
from stream.backfill.plan import (
    BackfillPlan,
    steps,
    windows,
)
from stream.backfill.state import Backfill, BackfillControl, BackfillResult, DriverReport, Signal, StepDone
from stream.backfill.status import status_of
from stream.times import DAY_US, parse_time
from tests.unit.backfill.test_notifications import note

JAN = parse_time("2026-01-01")


def backfill() -> Backfill:
    of = windows(JAN, JAN + 20 * DAY_US, size_s=10 * 86_400)
    found = steps(of, ("scorecards", "scores"), {(t, n): 100 for t in ("scorecards", "scores") for n in (1, 2)})
    return Backfill(BackfillPlan("b", ("acme",), ("scorecards", "scores"), of, found, 50, 0))


def test_status_adds_finished_steps_and_what_is_told_of_the_one_under_way() -> None:
    # given three steps done, and one chunk of the fourth told
    held = backfill()
    held.done = {1: StepDone(100, 1.0, 0), 2: StepDone(100, 1.0, 0), 3: StepDone(100, 2.0, 0)}
    held.signal = Signal(4, 2, 0, 0)
    notes = [parse(n) for n in (note("STARTED", at=0, signal="b/4/scores/2"),
                                note("IN_PROGRESS", at=1_000, signal="b/4/scores/2"),
                                note("IN_PROGRESS", at=1_000, signal="b/4/scores/1"))]  # fmt: skip
    # when its status is asked
    found = status_of(held, [n for n in notes if n is not None])
    # then only the notifications of the last attempt count
    assert (found.rows, found.steps, found.windows) == (350, 3, 1)
    assert found.rate == pytest.approx(350 / 4.0, rel=0.3)
    assert found.eta_s is not None
    assert found.as_json()["current"]["table"] == "scores"


@pytest.mark.parametrize(
    ("control", "driver_ms", "result", "state"),
    [
        ("run", None, None, "interrupted"),
        ("run", 10**15, None, "running"),
        ("pause", 10**15, None, "paused"),
        ("stop", None, None, "stopped"),
        ("run", None, BackfillResult(1, 1), "done"),
    ],
)
def test_states(control: str, driver_ms: int | None, result: BackfillResult | None, state: str) -> None:
    held = backfill()
    held.control = BackfillControl(control, 1)  # type: ignore[arg-type]
    held.driver = None if driver_ms is None else DriverReport("host", 1, driver_ms)
    held.result = result
    assert status_of(held, []).state == state
