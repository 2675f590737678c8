"""One drill: write all the time, break a part, wait until all has caught up, again and again; then compare.

set up -> writer starts -> [fault -> marks -> visible: recovered] x rounds -> writer stops -> compare -> verdict
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from devstack.stack import Stack
from drills import held, marks
from drills.compare import FINDINGS, compare, dead_letters, lag
from drills.crowd import Crowd
from drills.faults import FAULTS, Fault, Scene, timed
from drills.log_order import Order, order_of_log
from drills.windows import Windows
from drills.workers import Supervised
from drills.writer import Writer
from testbed.universe import Universe

RECOVER_S = 180.0  # limit of the recovery from a fault; beyond it the drill has failed
SETTLE_S = 120.0  # limit of the end: everything indexed, everything committed


@dataclass(frozen=True)
class Options:
    """The settings of a drill. `faults` in the order given; `rate` in rows per second."""

    seed: int
    faults: list[str]
    rate: float = 500
    rows: int = 300
    workers: int = 2
    seconds: float | None = None  # seconds after which no further fault begins
    quick: bool = False
    between_s: float = 3.0
    catalog: Mapping[str, Fault] = field(default_factory=lambda: FAULTS)  # by the names of `faults`
    away_s: float | None = None  # seconds for which a part is away; None = as the fault has it
    first: int | None = None  # number of the first round, which seeds each round by itself; None = one series
    windows: float = 0.0  # spans per second that many readers ask for; 0: none


@dataclass
class Round:
    """One fault. `recovered_s`: from the fault's end until everything committed by then was visible; None = never."""

    fault: str
    detail: str
    lasted_s: float
    recovered_s: float | None
    rows: int  # rows changed meanwhile


@dataclass
class Result:
    """The findings of a drill."""

    seed: int
    rounds: list[Round] = field(default_factory=list)
    findings: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)  # rows shown in a span of time that they had left
    asked: int = 0  # number of spans read after a scorecard had left them
    crowd: dict[str, Any] = field(default_factory=dict)  # what many readers saw (drills/crowd.py)
    lag: int | None = None
    dead_letters: int = 0
    rows: int = 0
    seconds: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)
    own_ends: list[str] = field(default_factory=list)  # workers that ended though no drill killed them
    stopped: list[int] = field(default_factory=list)  # exit codes at the end
    order: Order = field(default_factory=Order)

    @property
    def passed(self) -> bool:
        return (
            all(each.recovered_s is not None for each in self.rounds)
            and set(self.findings) == set(FINDINGS)
            and not any(self.findings.values())
            and self.lag == 0
            and not self.dead_letters
            and not self.ghosts
            and self.asked > 0  # a reader that asks nothing proves nothing
            and self.crowd.get("clean", not self.crowd)
            and not any(self.stopped)
            # for an abort: no process of this drill sent it
            and not any("killed by" in cause for cause in self.own_ends)
        )

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed} | asdict(self)


def run(universe: Universe, stack: Stack, options: Options, *, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run the drill. The stack is healthy afterwards, or one of its parts does not start: PartFailed."""
    result = Result(options.seed)
    began = time.monotonic()
    workers: list[Supervised] = []
    writer: Writer | None = None
    drilled = ExitStack()  # the readers beside the writer
    try:
        writer = Writer(universe.postgres, seed=options.seed, rate=options.rate, rows=options.rows)
        workers += [Supervised(universe, number) for number in range(1, options.workers + 1)]
        chooser = random.Random(options.seed)
        scene = Scene(stack, universe, workers, chooser, quick=options.quick, away=options.away_s)
        marks.wait_until_visible(universe, marks.mark(universe), deadline_s=RECOVER_S)
        say(f"the pipeline runs: {options.workers} workers, {options.rate:g} rows/s")
        writer.start()
        windows = drilled.enter_context(Windows(universe, options.seed))
        crowd = Crowd(universe, options.seed, windows.appeals, per_s=options.windows)
        if options.windows:
            drilled.enter_context(crowd)
        for number, name in enumerate(options.faults, options.first or 0):
            if options.seconds is not None and time.monotonic() - began > options.seconds:
                break
            time.sleep(options.between_s)
            if options.first is not None:
                chooser.seed(f"{options.seed} {number}")
            done = inflict(scene, name, options.catalog[name], writer)
            result.rounds.append(done)
            late = "NOT recovered" if done.recovered_s is None else f"recovered in {done.recovered_s:.1f} s"
            say(f"{number:>3} {name:<15} {done.detail:<34} {late}; {done.rows:,} rows changed")
            if done.recovered_s is None:
                break
        writer.stop()
        drilled.close()
        result.ghosts, result.asked = windows.ghosts, windows.asked
        result.crowd = crowd.as_json() if options.windows else {}
        result.rows, result.steps = writer.rows, writer.counts()
        settle(universe, result)
        result.dead_letters = dead_letters(universe)
        result.order = order_of_log(universe)
        result.stopped = [worker.stop() for worker in workers]
        result.own_ends = [cause for worker in workers for cause in worker.own_ends()]
    finally:
        drilled.close()
        for worker in workers:
            worker.resume()
            worker.end()
        stack.up()
        if writer is not None:
            writer.stop()
    result.seconds = time.monotonic() - began
    return result


def inflict(scene: Scene, name: str, fault: Fault, writer: Writer) -> Round:
    """One fault, and the wait until all that was committed by its end is visible."""
    before = writer.rows
    scene.expected.clear()
    detail, lasted_s = timed(fault, scene)
    healed = time.monotonic()
    recovered: float | None
    try:
        marks.wait_until_visible(scene.universe, marks.mark(scene.universe), deadline_s=RECOVER_S)
        recovered = time.monotonic() - healed
        held.wait_until_counted(scene.universe, scene.expected, deadline_s=RECOVER_S)
    except AssertionError:
        recovered = None
        detail += f"; lacks {held.lost(scene.universe, scene.expected) or 'the marks'}"
    return Round(name, detail, lasted_s, recovered, writer.rows - before)


class Compared(Protocol):
    """Where the comparison at the end of a drill is noted."""

    findings: dict[str, int]
    examples: list[str]
    lag: int | None


def settle(universe: Universe, result: Compared, *, waiting: Callable[[], int] = lambda: 0) -> None:
    """Poll until nothing differs and nothing is behind, or until time is up. The last differences are the finding.

    Args:
        waiting: what else must be 0 before the comparison.
    """
    deadline = time.monotonic() + SETTLE_S
    while True:
        result.lag = lag(universe)
        if (not result.lag and not waiting()) or time.monotonic() > deadline:
            result.findings, result.examples = compare(universe)
            if not any(result.findings.values()) or time.monotonic() > deadline:
                return
        time.sleep(0.5)
