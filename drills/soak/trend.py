"""Whether a series grew: one rule for all of them.

Enters: samples of one series. Leaves: its trend and the verdict. `RULE` is the rule in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import NamedTuple

RULE = (
    "A series is flat unless it grows in the second half of the run by more than its limit. The growth is the "
    "Theil-Sen slope (the median of the slopes between all pairs of points) times the length of that half. Points are "
    "medians of a sixtieth of the half. Pairs lie within one life of a process, after its first 24th of the run. The "
    "limit is 10 % of the median, or the allowance of the series, whichever is more."
)
SHARE = 0.10
POINTS = 60  # of the half; all pairs of the samples themselves would take minutes
WARM_UP = 1 / 24  # of the run, after each start of a process: caches fill


class Sample(NamedTuple):
    """One look at a series. `at_s` counts from the beginning of the run; `life` changes when the process does."""

    at_s: float
    life: int
    value: float


@dataclass(frozen=True, slots=True)
class Trend:
    """How a series went. `growth` over the second half, in `unit`; None = it has no two points to compare."""

    name: str
    unit: str
    samples: int
    first: float
    median: float
    highest: float
    last: float
    growth: float | None
    limit: float

    @property
    def flat(self) -> bool:
        """False also for a series of which nothing is known: a gauge that shows nothing proves nothing."""
        return self.growth is not None and self.growth <= self.limit


def trend(name: str, samples: Sequence[Sample], *, unit: str, allowance: float, run_s: float) -> Trend:
    """Judge a series.

    Args:
        samples: in order of time; at least one.
        allowance: growth that is always allowed, in `unit`.
        run_s: length of the run in seconds.
    """
    half_s = run_s / 2
    values = [each.value for each in samples]
    late = points([each for each in _warm(samples, run_s * WARM_UP) if each.at_s >= half_s], half_s / POINTS)
    middle = median(values)
    slope = _slope(late)
    return Trend(
        name=name,
        unit=unit,
        samples=len(samples),
        first=values[0],
        median=middle,
        highest=max(values),
        last=values[-1],
        growth=None if slope is None else slope * half_s,
        limit=max(allowance, SHARE * middle),
    )


def points(samples: Iterable[Sample], every_s: float) -> list[Sample]:
    """Medians of each span of `every_s` seconds and each life."""
    held: dict[tuple[int, int], list[Sample]] = {}
    for each in samples:
        held.setdefault((each.life, int(each.at_s / every_s)), []).append(each)
    return [
        Sample(median(each.at_s for each in group), life, median(each.value for each in group))
        for (life, _), group in held.items()
    ]


def _warm(samples: Sequence[Sample], after_s: float) -> list[Sample]:
    """The samples without the beginning of each life."""
    began: dict[int, float] = {}
    for each in samples:
        began.setdefault(each.life, each.at_s)
    return [each for each in samples if each.at_s - began[each.life] >= after_s]


def _slope(found: Sequence[Sample]) -> float | None:
    slopes = [
        (later.value - earlier.value) / (later.at_s - earlier.at_s)
        for earlier, later in combinations(found, 2)
        if earlier.life == later.life and later.at_s > earlier.at_s
    ]
    return median(slopes) if slopes else None
