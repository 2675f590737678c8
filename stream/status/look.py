"""One look at everything: the monitor's document and doctor's findings, asked side by side.

Enters: functions that ask. Leaves: a `Situation`. Doctor asks more than the monitor does, so it is asked more seldom.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Self

from stream.doctor.finding import HINT, DoctorFinding
from stream.errors import Retry
from stream.status.steps import NOW, SOON, Step, steps

EXAMINE_S = 60.0  # interval of doctor's look while the screen is watched


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at one moment. `document` is None when Kafka does not answer; `silent` says why."""

    document: dict[str, Any] | None
    checked: Sequence[DoctorFinding]
    silent: str = ""

    @property
    def steps(self) -> list[Step]:
        return steps(self.document, self.checked)

    @property
    def verdict(self) -> str:
        """`act now`, also when Kafka does not answer; `act soon` or `well`."""
        urgent = {step.when for step in self.steps}
        return "act now" if NOW in urgent or self.document is None else "act soon" if SOON in urgent else "well"

    def as_json(self) -> dict[str, Any]:
        """The steps, and the monitor's document in which each figure stands."""
        return {
            "verdict": self.verdict,
            "steps": [asdict(step) for step in self.steps],
            "hints": sum(each.severity == HINT for each in self.checked),
            "kafka": self.silent or None,
            "state": self.document,
        }


class StatusLook:
    """Looks again and again. `with`-able, for one thread.

    Args:
        document: asks a monitor; raises Retry when Kafka does not answer.
        examine: asks doctor.
    """

    def __init__(
        self,
        document: Callable[[], dict[str, Any]],
        examine: Callable[[], list[DoctorFinding]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._document = document
        self._examine = examine
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="doctor")
        self._asked_at = float("-inf")
        self._asked: Future[list[DoctorFinding]] | None = None
        self._checked: list[DoctorFinding] | None = None

    def once(self) -> Situation:
        """The newest answers. The first look waits for doctor, too; later ones show what doctor said last."""
        if self._asked is None and self._clock() - self._asked_at > EXAMINE_S:
            self._asked, self._asked_at = self._thread.submit(self._examine), self._clock()
        silent, document = "", None
        try:
            document = self._document()
        except Retry as error:
            silent = str(error)
        if self._asked is not None and (self._checked is None or self._asked.done()):
            self._checked, self._asked = self._asked.result(), None
        return Situation(document, self._checked or [], silent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
