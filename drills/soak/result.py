"""The result of a soak, and its verdict: an empty list of faults."""

from __future__ import annotations

from dataclasses import dataclass, field

from drills.compare import FINDINGS
from drills.drill import Round
from drills.soak.replays import Replayed
from drills.soak.trend import Trend

JUDGED_S = 3_600.0  # a shorter run says nothing of growth


@dataclass
class Result:
    """The findings of a soak. `ran_s` is shorter than `asked_s` when it was interrupted."""

    seed: int
    asked_s: float
    ran_s: float = 0.0
    rows: int = 0
    kills: list[tuple[float, Round]] = field(default_factory=list)  # with the second of the run
    replays: list[Replayed] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    findings: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    lag: int | None = None
    dead_letters: int = 0
    ghosts: list[str] = field(default_factory=list)  # rows shown in a span of time that they had left
    asked: int = 0  # spans read after a scorecard had left them
    verified: set[float] = field(default_factory=set)  # when verify --watch ended a comparison that was clean
    verify_wrong: float = 0.0  # rows that it found wrong, the most of any comparison
    own_ends: list[str] = field(default_factory=list)  # ends of processes that no kill caused
    stopped: list[int] = field(default_factory=list)  # exit codes at the end

    @property
    def faults(self) -> list[str]:
        """What was not as it must be, a line for each."""
        found = [f"{count} rows are {finding}" for finding, count in self.findings.items() if count]
        if self.ran_s >= JUDGED_S:
            found += self.growing
        found += [f"{each.fault} at {at_s:.0f} s: no recovery" for at_s, each in self.kills if each.recovered_s is None]
        found += [f"replay {each.name}: {each.failed}" for each in self.replays if each.failed]
        # As in every drill: a worker may end with an exit code and be started again, but nobody aborts it.
        found += [f"ended without a kill: {cause}" for cause in self.own_ends if "exit code" not in cause]
        found += [f"exit code {code} at the end" for code in self.stopped if code]
        found += self._missing()
        if self.lag:
            found.append(f"{self.lag} messages wait")
        if self.dead_letters:
            found.append(f"{self.dead_letters} dead letters")
        if self.ghosts:
            found.append(f"{len(self.ghosts)} rows in spans of time that they had left")
        if self.verify_wrong:
            found.append(f"verify --watch found {self.verify_wrong:.0f} rows wrong")
        return found

    @property
    def growing(self) -> list[str]:
        """The series that are not flat, a line for each. Within the first hour caches fill and parts gather."""
        return [f"{each.name} {_shown(each)}" for each in self.trends if not each.flat]

    def _missing(self) -> list[str]:
        """A look that saw nothing proves nothing."""
        looks = {
            "comparison of the stores": set(self.findings) == set(FINDINGS) and self.lag is not None,
            "span of time that was read": self.asked,
            "clean comparison of verify --watch": self.verified,
            "kill": self.kills,
            "replay": self.replays,
            "series": self.trends,
        }
        return [f"no {what}" for what, seen in looks.items() if not seen]


def _shown(trend: Trend) -> str:
    if trend.growth is None:
        return "has no two points to compare"
    return f"grew by {trend.growth:.1f} {trend.unit}, limit {trend.limit:.1f}"
