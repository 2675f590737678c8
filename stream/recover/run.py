"""Step after step, each derived from what the systems say now, until only the comparison is left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stream.errors import Stop, UsageError
from stream.recover.facts import Facts
from stream.recover.plan import RecoveryPlan, RecoveryStep, plan

log = logging.getLogger(__name__)

_ROUNDS = 3  # of steps and a comparison
_TRIES = 2  # of one step: a connector that was just started may fail once more while others let go of its slot


class Systems(Protocol):
    """What the steps act upon."""

    def look(self) -> Facts:
        """What the systems say now."""

    def do(self, step: RecoveryStep) -> None:
        """Take one step; taking it again changes nothing."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step that was taken, and how long it took."""

    step: RecoveryStep
    seconds: float


def recover_and_compare(
    systems: Systems,
    compare: Callable[[], None],
    *,
    on_step: Callable[[RecoveryStep, RecoveryPlan], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[StepTaken]:
    """Take every step, the comparison too. It waits until all messages that are in Kafka are processed.

    A batch that was under way at the fail over may write a change that the new server lacks. Where it does so after the
    steps have looked at the versions, all steps are taken once more.

    Raises: as `recover`.
    """
    taken: list[StepTaken] = []
    for _ in range(_ROUNDS):
        taken += recover(systems, on_step=on_step, clock=clock)
        left = plan(systems.look())
        on_step(left.steps[-1], left)
        began = clock()
        compare()
        taken.append(StepTaken(left.steps[-1], clock() - began))
        if not plan(systems.look()).changes:
            break
    return taken


def recover(
    systems: Systems,
    *,
    on_step: Callable[[RecoveryStep, RecoveryPlan], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[StepTaken]:
    """Take every step of the plan but the comparison.

    Raises:
        UsageError: something that only an operator can do is left.
        Stop: a step was taken, and what it was for is still wrong.
    """
    taken: list[StepTaken] = []
    while True:
        facts = systems.look()
        now = plan(facts)
        if now.blocked:
            raise UsageError("\n".join(now.blocked))
        step = next(step for step in now.steps if step.id not in {"compare"})
        if [each.step.id for each in taken].count(step.id) >= _TRIES:
            wrong = "; ".join(each.what for each in now.findings) or "the connector does not stream"
            raise Stop(f"step {step.id} was taken {_TRIES} times, and still: {wrong}")
        on_step(step, now)
        began = clock()
        systems.do(step)
        taken.append(StepTaken(step, clock() - began))
        log.info("step taken", extra={"step": step.id, "seconds": round(taken[-1].seconds, 2)})
        if step.id == "stream" and not plan(systems.look()).changes:
            return taken
