"""Live first: how fast a replay may go while the live flow, ClickHouse or its own inserts are in trouble.

Enters: measurements. Leaves: messages/s that are allowed, and the reason. Beside a live worker a replay starts at 2,000
messages/s and speeds up by 25 % per look, because overload shows only a second later. Each look over a limit cuts the
rate by a third. From the first such look on, every other look adds a tenth.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from stream.replay.live_watch import Looked

_OPEN_PER_S = 1_000_000.0  # more than any process does: as good as no limit
_FIRST_PER_S = 2_000.0  # beside a live worker
_BEGUN_PER_S = 100_000.0  # no further cut below this: so few messages are not the cause
_SLOW_BATCH_S = 2.0  # part of the allowed rate; a part in ClickHouse costs the same for ten rows as for a thousand
_BURST_S = 0.5  # but live waits for batches of more than a thousand rows


@dataclass(frozen=True, slots=True)
class ThrottleLimits:
    """Above these a replay slows down."""

    live_lag_s: float
    parts: int
    errors_per_minute: int
    least_per_s: float


def reason(look: Looked, limits: ThrottleLimits) -> str:
    """The measurement above its limit; "" when there is none."""
    if look.live_lag_s > limits.live_lag_s:
        return f"live is {look.live_lag_s:.1f} s behind (limit {limits.live_lag_s:g} s)"
    if look.parts > limits.parts:
        return f"{look.parts} active parts in a ClickHouse partition (limit {limits.parts})"
    if look.errors >= limits.errors_per_minute:
        return f"{look.errors} errors in the last minute (limit {limits.errors_per_minute})"
    return ""


class Throttle:
    """Messages/s of one process.

    Args:
        ceiling_per_s: the value of --rate; None = as fast as possible.
        clock: seconds; for tests.
    """

    def __init__(
        self, limits: ThrottleLimits, *, ceiling_per_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._ceiling = ceiling_per_s or _OPEN_PER_S
        self._allowed = min(self._ceiling, _FIRST_PER_S)
        self._begins = True
        self._tokens = 0.0
        self._at = clock()
        self.why = ""

    @property
    def allowed_per_s(self) -> float | None:
        """The present limit; None: no limit."""
        return None if self._allowed >= _OPEN_PER_S else self._allowed

    def look(self, look: Looked, *, present_per_s: float, ceiling_per_s: float | None = None) -> None:
        """Take a look into account. `present_per_s` is the process's present rate."""
        self._ceiling = ceiling_per_s or _OPEN_PER_S
        self.why = reason(look, self._limits)
        if self.why:
            self._begins = False
            at_most = min(self._allowed, max(present_per_s, self._limits.least_per_s))
            self._allowed = max(self._limits.least_per_s, at_most / 1.5)
        elif self._begins:
            self._begins = look.live and self._allowed < min(self._ceiling, _BEGUN_PER_S)
            self._allowed = 1.25 * self._allowed if self._begins else self._ceiling
        elif self._allowed < self._ceiling:
            self._allowed = min(self._ceiling, self._allowed * 1.1)
            if present_per_s < 0.5 * self._allowed and self._ceiling >= _OPEN_PER_S:
                self._allowed = self._ceiling  # something else is the limit by now
        self._allowed = min(self._allowed, self._ceiling)

    def room(self, most: int) -> int:
        """How many messages a process may take now: at most `most`, and at most those of a fifth of a second."""
        if self.allowed_per_s is None:
            return most
        now = self._clock()
        burst = max(1.0, self._allowed / 5)
        self._tokens = min(burst, self._tokens + (now - self._at) * self._allowed)
        self._at = now
        return max(0, min(most, int(self._tokens)))

    def batch(self, most: int) -> int:
        """Number of messages of a batch, at most `most`."""
        if (allowed := self.allowed_per_s) is None:
            return most
        return min(most, max(100, int(min(allowed * _SLOW_BATCH_S, max(1_000, allowed * _BURST_S)))))

    def took(self, messages: int) -> None:
        """Subtract the messages that the process took."""
        if self.allowed_per_s is not None:
            self._tokens -= messages
