"""How long the stages of a batch take, one after another. Pure but for the clock."""

from __future__ import annotations

import time


class StageClock:
    """Seconds spent in each stage of a batch. `prepare` measured the first stages."""

    def __init__(self, **before: float) -> None:
        self.seconds: dict[str, float] = before
        self._since = time.perf_counter()

    def mark(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now
