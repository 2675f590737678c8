"""The knee: the highest rate of changes at which p99 from commit to visible stays under a second.

A writer and a prober that run enter; one reading for each rate of the ramp leaves. The ramp ends at the first rate that
fails, since what has piled up there would count against the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from testbed.traffic.writer import LiveWriter
from testbed.visibility.figures import percentiles
from testbed.visibility.prober import Prober

LIMIT_MS: Final = 1_000.0
UP: Final = (1_000, 1_400, 2_000, 2_800, 4_000, 5_600, 8_000)  # changes/s
DOWN: Final = (700, 500, 350, 250)  # where the first of UP fails
SETTLE_S: Final = 4.0  # of each rate, not counted
MEASURE_S: Final = 12.0
BEHIND: Final = 0.95  # share of the rate that the writer must reach: else it is the writer's limit


@dataclass(frozen=True, slots=True)
class Step:
    """One rate of the ramp.

    Attributes:
        rate: changes/s that were asked for.
        written_per_s: and those that were committed.
        p50_ms, p99_ms: from commit to visible; None where a change was not seen within the limit.
    """

    rate: int
    written_per_s: float
    p50_ms: float | None
    p99_ms: float | None

    @property
    def holds(self) -> bool:
        return self.p99_ms is not None and self.p99_ms < LIMIT_MS

    @property
    def reached(self) -> bool:
        return self.written_per_s >= BEHIND * self.rate


def ramp(measure: Callable[[int], Step]) -> list[Step]:
    """Measure one rate after another, upwards, or downwards where the first one fails."""
    steps = [measure(UP[0])]
    upwards = steps[0].holds
    for rate in UP[1:] if upwards else DOWN:
        if upwards != steps[-1].holds or not steps[-1].reached:
            break
        steps.append(measure(rate))
    return steps


def knee_of(steps: Sequence[Step]) -> int:
    """Changes/s at the knee, as written; 0 where every rate fails."""
    return round(max((min(each.rate, each.written_per_s) for each in steps if each.holds), default=0))


def measure_with(writer: LiveWriter, prober: Prober, check: Callable[[], None]) -> Callable[[int], Step]:
    """A `measure` for `ramp` over what runs; `check` raises when a part has died."""

    def measure(rate: int) -> Step:
        writer.rate = rate
        _wait(SETTLE_S, check)
        begun, before = time.perf_counter(), writer.changes
        _wait(MEASURE_S, check)
        ended, written = time.perf_counter(), writer.changes - before
        deadline = ended + LIMIT_MS / 1000 + 4  # the prober looks once a second
        while prober.waits_for(begun, ended) and time.perf_counter() < deadline:
            _wait(0.2, check)
        found = percentiles([each for each in prober.latencies if begun <= each.committed < ended])
        late = prober.waits_for(begun, ended)
        return Step(
            rate,
            round(written / (ended - begun), 1),
            None if late else found["p50_ms"],
            None if late else found["p99_ms"],
        )

    return measure


def shown(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps as they are kept."""
    return [asdict(each) for each in steps]


def _wait(seconds: float, check: Callable[[], None]) -> None:
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        check()
        time.sleep(min(left, 0.5))
