"""The command: `python -m drills.replay [--seed N] [--kills N]`: a replay into a shadow while everything is killed.

A writer commits everything that changes rows and places (testbed/traffic/changes.py: EVERYTHING). SIGKILL ends the
worker, single processes of the replay and the whole replay, at random. The replay is resumed, verified, cut over. At
the end the live database, which is the former shadow, is compared with Postgres row for row. A reader counts in a loop
meanwhile.

Exit 0 = PASS, 1 = FAIL. The result goes to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from devstack.stack import Stack
from drills import marks
from drills.compare import FINDINGS, dead_letters, lag
from drills.drill import settle
from drills.readers import Readers, p50, p99
from drills.show import say
from drills.windows import Windows
from drills.workers import Supervised
from testbed.replays import Running, drop, facts
from testbed.traffic import workload
from testbed.traffic.changes import EVERYTHING
from testbed.traffic.writer import LiveWriter
from testbed.universe import Universe, wait_for

NAME = "drill"
LIVE_P99_S = 1.0
AFTER_RETURN_S = 10.0  # seconds after a worker's return within which latencies still count as those of its death
DONE_S = 300.0  # limit of the replay after the last kill


@dataclass
class Result:
    """The findings of a drill. Latencies in seconds from commit to visible."""

    seed: int
    kills: list[str] = field(default_factory=list)
    resumed: int = 0
    replayed: int = 0
    cutover: dict[str, object] = field(default_factory=dict)
    findings: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    lag: int | None = None
    dead_letters: int = 0
    rows: int = 0
    rows_per_s: float = 0.0
    reads: int = 0
    dips: list[tuple[str, int, int]] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)  # rows shown in a span of time that they had left
    asked: int = 0  # number of spans read
    errors: list[str] = field(default_factory=list)
    samples: int = 0
    unseen: int = 0
    p99_s: float | None = None  # of commits while no worker was dead or coming back
    p99_all_s: float | None = None
    p50_s: float | None = None
    late: list[tuple[str, float]] = field(default_factory=list)  # those samples longer than LIVE_P99_S, with their time
    phases: dict[str, dict[str, float | int]] = field(default_factory=dict)  # the same samples, by phase
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return (
            bool(self.cutover.get("verified"))
            and set(self.findings) == set(FINDINGS)
            and not any(self.findings.values())
            and self.lag == 0
            and not (self.dead_letters or self.dips or self.ghosts or self.errors or self.unseen)
            and self.p99_s is not None
            and self.p99_s < LIVE_P99_S
        )


def run(universe: Universe, *, seed: int, kills: int, rate: float = 500, scale: float = 0.3) -> Result:
    """Run the drill on a stack that is up and a universe that is set up."""
    result, chance, began = Result(seed), random.Random(seed), time.monotonic()
    with universe.postgres() as connection:
        work = workload.load(connection, seed=seed, scale=scale)
    worker = Supervised(universe, 1)
    # The writer of `make drill` is no use here. It moves three hundred scorecards again and again, and that alone makes
    # a live worker late.
    writer = LiveWriter(universe.url, work, rate=rate, on_seen=lambda *_: None, seed=seed, mix=EVERYTHING)
    deaths: list[float] = []
    phases: list[tuple[str, float]] = []  # start and name of each phase

    def phase(name: str) -> None:
        phases.append((name, time.monotonic()))

    try:
        marks.wait_until_visible(universe, marks.mark(universe), deadline_s=120)
        wait_for("the loaded rows are indexed", lambda: lag(universe) == 0, deadline_s=120)
        with Readers(universe) as readers, Windows(universe, seed) as windows:
            writer.start()
            phase("before")
            time.sleep(10)  # some history
            phase("kills")
            _replay(universe, worker, result, chance, kills=kills, deaths=deaths, phase=phase)
            phase("cutover")
            done = universe.run("cutover", NAME, "--json", check=False, timeout_s=300)
            (universe.folder / "cutover.log").write_text(done.stderr, "utf-8")
            result.cutover = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-500:]}
            say(f"cutover: {result.cutover}")
            phase("after")
            time.sleep(5)  # live goes on in the new tables
            writer.stop()
            writer.check()
            windows.stop()
            readers.stop_committing()
            settle(universe, result, waiting=lambda: readers.unseen)
        result.reads, result.dips, result.errors = readers.reads, readers.dips, readers.errors
        result.ghosts, result.asked = windows.ghosts, windows.asked
        result.unseen, result.samples = readers.unseen, len(readers.latencies)
        result.p99_all_s = p99([took for _, took in readers.latencies])
        samples = _calm(readers.latencies, deaths)
        calm = [took for _, took in samples]
        result.p99_s, result.p50_s = p99(calm), p50(calm)
        result.late = [(_clock(at), round(took, 2)) for at, took in samples if took >= LIVE_P99_S]
        result.phases = _by_phase(samples, phases)
        result.dead_letters = dead_letters(universe)
    finally:
        writer.stop()
        worker.end()
    result.rows, result.rows_per_s = writer.changes, writer.achieved_rate
    result.seconds = time.monotonic() - began
    return result


def _calm(latencies: list[tuple[float, float]], deaths: list[float]) -> list[tuple[float, float]]:
    """The commits without those that waited for a dead worker's return, or for its backlog."""
    calm = latencies
    for death in deaths:
        back = min((at + took for at, took in latencies if at > death), default=death)
        calm = [(at, took) for at, took in calm if at + took < death - 1 or at > back + AFTER_RETURN_S]
    return calm


def _by_phase(samples: list[tuple[float, float]], phases: list[tuple[str, float]]) -> dict[str, dict[str, float | int]]:
    """Latencies of the commits of each phase, which lasts until the next begins."""
    out: dict[str, dict[str, float | int]] = {}
    ends = [began for _, began in phases[1:]] + [float("inf")]
    for (name, began), end in zip(phases, ends, strict=True):
        took = [took for at, took in samples if began <= at < end]
        out[name] = {"samples": len(took), "late": sum(one >= LIVE_P99_S for one in took)}
        if took:
            out[name] |= {"p50_s": round(p50(took) or 0, 3), "p99_s": round(p99(took) or 0, 3)}
    return out


def _clock(at: float) -> str:
    """The time of day of a moment of time.monotonic."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + at))


def _replay(
    universe: Universe,
    worker: Supervised,
    result: Result,
    chance: random.Random,
    *,
    kills: int,
    deaths: list[float],
    phase: Callable[[str], None],
) -> None:
    shadow = universe.name + NAME
    slow = "300" if kills else "0"  # keeps it running until the last kill
    replay = Running(universe, "start", NAME, "--into", shadow, "--processes", "2", "--rate", slow)
    wait_for("the replay exists", lambda: NAME in universe.run("replay", "list", "--json").stdout, deadline_s=30)
    deadline = time.monotonic() + DONE_S
    while time.monotonic() < deadline:
        if len(result.kills) < kills:
            time.sleep(4 + 6 * chance.random())
            what = chance.choice(["worker", "process of the replay", "whole replay"])
            result.kills.append(what)
            say(f"kill -9: {what}")
            if what == "worker":
                deaths.append(time.monotonic())
                worker.kill()
            elif what == "whole replay":
                with contextlib.suppress(ProcessLookupError):
                    replay.kill_all()
            else:
                _kill_one(replay, chance)
            deadline = time.monotonic() + DONE_S
            if len(result.kills) == kills:
                phase("full speed")
                universe.run("replay", "pause", NAME, check=False)  # it is resumed without the ceiling
        if replay.process.poll() is not None:
            if replay.process.returncode == 0 and facts(universe, NAME)["state"] == "done":
                break
            result.resumed += 1
            replay = Running(universe, "resume", NAME, "--rate", slow if len(result.kills) < kills else "0")
        elif len(result.kills) >= kills:
            time.sleep(0.5)
    found = facts(universe, NAME)
    result.replayed = int(found["done"])
    say(f"replay: {found['state']}, {result.replayed:,} messages, resumed {result.resumed} times")


def _kill_one(replay: Running, chance: random.Random) -> None:
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        children = sorted(child.pid for child in psutil.Process(replay.process.pid).children())
        if children:
            os.kill(chance.choice(children), signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="drills.replay", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--seed", type=int, default=1, help="of changes and kills (default: 1)")
    parser.add_argument("--kills", type=int, default=8, help="(default: 8)")
    parser.add_argument("--rate", type=float, default=500, help="rows changed per second (default: 500)")
    parser.add_argument("--scale", type=float, default=0.3, help="of the demo's rows, at the start (default: 0.3)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-drill"), help="(default: .devstack-drill)")
    options = parser.parse_args()
    stack = Stack(options.dir)
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    try:
        stack.up()
        universe = Universe(stack.env(), folder)
        universe.set_up()
        result = run(universe, seed=options.seed, kills=options.kills, rate=options.rate, scale=options.scale)
        drop(universe, universe.name + NAME)
        universe.close()
    finally:
        stack.clean()
    print(json.dumps({"passed": result.passed} | asdict(result), indent=2))
    print(
        f"drill: {'PASS' if result.passed else 'FAIL'} seed {options.seed}, {len(result.kills)} kills; logs in {folder}"
    )
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
