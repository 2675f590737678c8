"""The topics' content for a backfill -> how far it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from stream.backfill.notifications import News, Notification
from stream.backfill.plan import BackfillPlan, BackfillStep, signal_id
from stream.backfill.state import Backfill
from stream.times import moment

State = Literal["running", "pausing", "paused", "stopped", "interrupted", "done"]


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """One backfill. Rows of a step under way are whole chunks."""

    plan: BackfillPlan
    state: State
    step: BackfillStep | None  # the first unread window
    rows: int
    steps: int  # rows read
    seconds: float  # in which rows were read
    driver: str | None  # host and process that work on it

    @property
    def rate(self) -> float:
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        if self.state == "done" or self.rate <= 0:
            return None
        return max(0, self.plan.rows - self.rows) / self.rate

    @property
    def windows(self) -> int:
        """Windows that are read whole, those without rows among them."""
        if self.state == "done" or self.step is None:
            return len(self.plan.windows)
        return self.step.window.number - 1

    def as_json(self) -> dict[str, Any]:
        step = self.step
        return {
            "name": self.plan.name,
            "state": self.state,
            "customers": list(self.plan.customers),
            "tables": list(self.plan.tables),
            "windows": len(self.plan.windows),
            "windows_done": self.windows,
            "steps": len(self.plan.steps),
            "steps_done": self.steps,
            "rows": self.rows,
            "rows_total": self.plan.rows,
            "rows_per_s": round(self.rate),
            "eta_s": None if self.eta_s is None else round(self.eta_s),
            "seconds": round(self.seconds, 1),
            "current": None
            if step is None
            else {"window": step.window.number, "from": _text(step.window.start_us), "to": _text(step.window.end_us),
                  "table": step.table, "rows": step.rows},
            "driver": self.driver,
            "started_at": moment(self.plan.created_ms * 1000).isoformat(timespec="seconds"),
        }  # fmt: skip


def status_of(backfill: Backfill, notes: Iterable[Notification]) -> BackfillStatus:
    """A backfill's status; `notes` are the notifications since its last signal."""
    plan = backfill.plan
    left = [step for step in plan.steps if step.number not in backfill.done]
    rows = sum(done.rows for done in backfill.done.values())
    seconds = sum(done.seconds for done in backfill.done.values())
    paused = False
    signal = backfill.signal
    if left and signal is not None and signal.step == left[0].number:
        own, news = signal_id(plan.name, left[0], signal.attempt), News()
        for note in notes:
            if note.id == own:
                news.add(note)
        rows += news.rows(chunk=plan.chunk, expected=left[0].rows)
        seconds += news.seconds
        paused = news.paused
    driver = backfill.driver if backfill.driven else None
    return BackfillStatus(
        plan=plan,
        state=_state(backfill, paused=paused),
        step=left[0] if left else None,
        rows=rows,
        steps=len(backfill.done),
        seconds=seconds,
        driver=None if driver is None else f"{driver.host}:{driver.pid}",
    )


def _state(backfill: Backfill, *, paused: bool) -> State:
    if backfill.result is not None:
        return "done"
    wanted = backfill.control.wanted
    if wanted == "stop":
        return "stopped"
    if wanted == "pause":
        return "paused" if paused or backfill.signal is None or backfill.signal.step in backfill.done else "pausing"
    return "running" if backfill.driven else "interrupted"


def _text(time_us: int | None) -> str | None:
    return None if time_us is None else moment(time_us).isoformat()
