"""Consumer lag of one partition: in messages and in seconds, how fast it changes, and a verdict.

Enters: looks at a partition, oldest first. Leaves: a PartitionLag. Pure: no client, no clock.

The verdicts are Burrow's, with time instead of a count of commits:

    OK      nothing waits, or what waits is younger than the target, or it gets less
    WARN    the committed offset moves, but what waits has been older than the target for a while and does not get less
    STALL   a worker holds the partition, messages wait, and the committed offset does not move
    STOP    messages wait, and no worker holds the partition
    REWIND  the committed offset went back, and is not yet where it was
    AHEAD   the committed offset lies behind the log's end: the topic was created again, or its log lost its end

Seconds of lag are the age of the next message that was never indexed, by that message's own time. Nothing is
interpolated. An idle partition has 0. A rewound one has the age of its first new message, and not of those that are
read again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

REMEMBER_S = 75.0  # looks older than this are forgotten; a little more than the window of rates


class Verdict(StrEnum):
    """See the module's docstring."""

    OK = "OK"
    WARN = "WARN"
    STALL = "STALL"
    STOP = "STOP"
    REWIND = "REWIND"
    AHEAD = "AHEAD"


SEVERITY = {Verdict.OK: 0, Verdict.REWIND: 1, Verdict.WARN: 2, Verdict.STALL: 3, Verdict.STOP: 4, Verdict.AHEAD: 5}


@dataclass(frozen=True, slots=True)
class LagLimits:
    """Thresholds of late and stuck; seconds."""

    target_s: float = 5.0
    stuck_s: float = 10.0
    rate_window_s: float = 60.0
    warn_after_s: float = 30.0


class PartitionLook(NamedTuple):
    """One look at a partition.

    Attributes:
        at: when, Unix seconds.
        start: first offset that the log still has.
        end: offset after the last one that a reader of committed transactions may see.
        committed: next offset to process, as committed; None when the group never committed one.
        waiting: whether a message stands at or after the offset that `Track.next_offset` gave.
        next_at: commit time in Postgres (or the record's own time) of that message, Unix seconds; None when not known.
        holder: the worker that holds the partition; "" for none, None when not known.
    """

    at: float
    start: int
    end: int
    committed: int | None
    waiting: bool
    next_at: float | None
    holder: str | None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """The state of a partition.

    Attributes:
        messages: never indexed and waiting; counts Kafka's transaction markers in between, 0 when no message is left.
        seconds: age of the first of them; None when its time could not be read.
        held: the same message waited at the look before: its age grows until the next look.
        rewound: messages that were indexed before and are processed again; no lag.
        lost: messages that the log no longer has and that were never indexed.
        velocity: change of `messages` for each second; negative = catching up; None without history.
        drain_s: seconds until nothing waits at the present rates; 0 when nothing does, None when never or not known.
        since: when the verdict began, Unix seconds.
    """

    at: float
    start: int
    end: int
    committed: int | None
    messages: int
    seconds: float | None
    next_at: float | None
    held: bool
    rewound: int
    lost: int
    consumed_per_s: float | None
    produced_per_s: float | None
    velocity: float | None
    drain_s: float | None
    holder: str | None
    verdict: Verdict
    since: float

    @property
    def raw(self) -> int:
        """End minus committed: what other lag tools show."""
        return max(0, self.end - (self.start if self.committed is None else self.committed))


class Track:
    """The recent past of one partition.

    Args:
        reached: the highest committed offset that an earlier process saw, so that a rewind survives its restart.
    """

    def __init__(self, limits: LagLimits, *, reached: int | None = None) -> None:
        self._limits = limits
        self._looks: deque[tuple[PartitionLook, PartitionLag]] = deque()
        self.reached = reached
        self._moved_at: float | None = None  # when the committed offset was last seen to move
        self._committed: int | None = None
        self._rewound_at: float | None = None
        self._late_since: float | None = None
        self._ahead: tuple[int, float] | None = None  # since when the committed offset lies behind the end

    def next_offset(self, *, start: int, end: int, committed: int | None) -> int:
        """The earliest offset of the next message that was never indexed. Ask the broker for its time."""
        reached = self.reached
        if reached is not None and reached > end:  # the topic was created again
            self._forget()
            reached = None
        if committed is not None and (reached is None or committed > reached):
            reached = committed
        self.reached = reached
        return max(start, start if reached is None else reached)

    def add(self, look: PartitionLook) -> PartitionLag:
        """Take a look into account. `next_offset` has been asked for the same offsets before."""
        following = self.next_offset(start=look.start, end=look.end, committed=look.committed)
        if look.committed != self._committed:
            if self._committed is not None or self._looks:
                self._moved_at = look.at
            self._committed = look.committed
        rewound = max(0, following - max(look.start, look.committed)) if look.committed is not None else 0
        if not rewound:
            self._rewound_at = None
        elif self._rewound_at is None:
            self._rewound_at = look.at
        ahead_since = self._look_ahead(look)
        consumed, produced = self._rates(look)
        messages = look.end - following if look.waiting else 0
        seconds = _age(look)
        if seconds is not None and seconds <= self._limits.target_s:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = look.at
        velocity = None if consumed is None or produced is None else produced - consumed
        verdict, since = self._judge(look, rewound=rewound, seconds=seconds)
        if ahead_since is not None:
            verdict, since = Verdict.AHEAD, ahead_since
        lag = PartitionLag(
            at=look.at,
            start=look.start,
            end=look.end,
            committed=look.committed,
            messages=messages,
            seconds=seconds,
            next_at=look.next_at if look.waiting else None,
            held=look.waiting and bool(self._looks) and self._looks[-1][0].next_at == look.next_at,
            rewound=rewound,
            lost=max(0, look.start - self.reached) if self.reached is not None else 0,
            consumed_per_s=consumed,
            produced_per_s=produced,
            velocity=velocity,
            drain_s=_drain(messages + rewound, velocity),
            holder=look.holder,
            verdict=verdict,
            since=since,
        )
        self._looks.append((look, lag))
        while self._looks[0][0].at < look.at - REMEMBER_S:
            self._looks.popleft()
        return lag

    def _look_ahead(self, look: PartitionLook) -> float | None:
        """Since when the committed offset lies behind the end. One look proves nothing: both are not read at once."""
        if look.committed is None or look.committed <= look.end:
            self._ahead = None
        elif self._ahead is None or self._ahead[0] != look.committed:
            self._ahead = look.committed, look.at
        elif look.at > self._ahead[1]:
            return self._ahead[1]
        return None

    def _judge(self, look: PartitionLook, *, rewound: int, seconds: float | None) -> tuple[Verdict, float]:
        limits = self._limits
        if look.waiting:
            # Unmoved since its last move. When none was seen, since the message came.
            still_since = max(self._moved_at or 0.0, look.next_at or self._first_at(look))
            still_s = look.at - still_since
            if self._moved_at is None and look.holder:
                # One look cannot tell a slow worker from a stuck one: count from the first look.
                still_s = min(still_s, look.at - self._first_at(look))
            if still_s >= limits.stuck_s:
                return (Verdict.STOP if look.holder == "" else Verdict.STALL), still_since
        if rewound:
            return Verdict.REWIND, self._rewound_at or look.at
        if self._late_since is not None and look.waiting and self._not_falling(look, seconds):
            return Verdict.WARN, self._late_since
        return Verdict.OK, self._ok_since(look)

    def _not_falling(self, look: PartitionLook, seconds: float | None) -> bool:
        """Whether it was late for all of the last `warn_after_s`, and no less at the end than at the beginning."""
        limits = self._limits
        if self._late_since is None or look.at - self._late_since < limits.warn_after_s or seconds is None:
            return False
        before = [lag.seconds for past, lag in self._looks if past.at >= look.at - limits.warn_after_s]
        return bool(before) and before[0] is not None and seconds >= before[0]

    def _ok_since(self, look: PartitionLook) -> float:
        if self._looks and (last := self._looks[-1][1]).verdict is Verdict.OK:
            return last.since
        return look.at

    def _rates(self, look: PartitionLook) -> tuple[float | None, float | None]:
        """Messages/s committed, and messages/s appended, over the window."""
        window = [past for past, _ in self._looks if past.at >= look.at - self._limits.rate_window_s]
        if not window or look.at - window[0].at <= 0:
            return None, None
        first, span = window[0], look.at - window[0].at
        produced = max(0, look.end - first.end) / span
        # A group that has committed nothing yet stands at the start.
        steps = [past.start if past.committed is None else past.committed for past in (*window, look)]
        # A step back is a rewind, not a negative rate.
        return sum(max(0, b - a) for a, b in pairwise(steps)) / span, produced

    def _first_at(self, look: PartitionLook) -> float:
        return self._looks[0][0].at if self._looks else look.at

    def _forget(self) -> None:
        self._looks.clear()
        self.reached = self._moved_at = self._committed = self._rewound_at = self._late_since = None


def _age(look: PartitionLook) -> float | None:
    if not look.waiting:
        return 0.0
    return None if look.next_at is None else max(0.0, look.at - look.next_at)


def _drain(messages: int, velocity: float | None) -> float | None:
    if messages == 0:
        return 0.0
    return messages / -velocity if velocity is not None and velocity < 0 else None
