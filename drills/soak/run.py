"""One soak: start everything; sample, kill and replay until the time is over; then compare and judge."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from devstack.stack import Stack
from drills import marks
from drills.compare import dead_letters, lag
from drills.drill import RECOVER_S, inflict, settle
from drills.faults import FAULTS, Fault, Scene, schedule
from drills.soak.gauges import Gauges
from drills.soak.kept import Kept, Processes, total
from drills.soak.replays import Replays
from drills.soak.result import Result
from drills.soak.steady import Steady
from drills.windows import Windows
from drills.writer import Writer
from stream.progress import Progress
from testbed.universe import Universe, wait_for

PARTS = ("worker", "connect", "kafka", "postgres", "clickhouse-0", "clickhouse-1")  # and monitor, verify
INDEXED_S = 300.0  # limit for the rows that are there before the run


@dataclass(frozen=True)
class Pace:
    """How often what happens, seconds. Of two hours: a kill each 5 minutes, a replay each 20, a verify each 10."""

    run_s: float

    @property
    def kill_s(self) -> float:
        return max(40.0, self.run_s / 24)  # a part needs some seconds to come back

    @property
    def replay_s(self) -> float:
        return max(60.0, self.run_s / 6)

    @property
    def verify_s(self) -> float:
        return max(15.0, self.run_s / 12)

    @property
    def sample_s(self) -> float:
        return max(2.0, self.run_s / 720)


def run(
    universe: Universe,
    stack: Stack,
    pace: Pace,
    *,
    seed: int,
    rate: float,
    rows: int,
    stopping: threading.Event,
    say: Callable[[str], None],
) -> tuple[Result, Gauges]:
    """Run until the time is over or `stopping` is set. The stack is healthy afterwards.

    Args:
        rate: rows changed per second.
        rows: scorecards, at the start and at the end.
    """
    result = Result(seed, pace.run_s)
    writer = Writer(universe.postgres, seed=seed, rate=rate, rows=rows, make=Steady)
    with ExitStack() as closing:
        closing.callback(stack.up)
        processes = closing.enter_context(Processes(universe, verify_s=pace.verify_s))
        marks.wait_until_visible(universe, marks.mark(universe), deadline_s=RECOVER_S)
        wait_for("the first rows are indexed", lambda: lag(universe) == 0, deadline_s=INDEXED_S)
        say(f"the pipeline runs: {pace.run_s / 3600:g} h begin")
        writer.start()
        closing.callback(writer.stop)
        windows = closing.enter_context(Windows(universe, seed))
        replays = closing.enter_context(Replays(universe, pace.replay_s, say))
        gauges = closing.enter_context(Gauges(universe, stack, processes, every_s=pace.sample_s))
        scene = Scene(stack, universe, [*processes.workers.values()], random.Random(seed))
        with Progress("soak", total=round(pace.run_s), unit="s", every_s=60) as progress:
            gauges.then = lambda: _look(gauges, result, replays, progress)
            _kill(scene, processes, pace, result, writer, gauges, stopping, say)
        result.ran_s = gauges.elapsed_s()
        say("the time is over: the writer stops, and the stores are compared")
        gauges.stop()
        writer.stop()
        replays.stop()
        windows.stop()
        result.replays, result.rows = replays.done, writer.rows
        result.ghosts, result.asked = windows.ghosts, windows.asked
        settle(universe, result)
        result.dead_letters = dead_letters(universe)
        result.trends = gauges.trends(result.ran_s)
        result.stopped = processes.stop()
        result.own_ends = processes.own_ends()
    return result, gauges


def _kill(
    scene: Scene,
    processes: Processes,
    pace: Pace,
    result: Result,
    writer: Writer,
    gauges: Gauges,
    stopping: threading.Event,
    say: Callable[[str], None],
) -> None:
    """SIGKILL one process after another, until the time is over or `stopping` is set."""
    faults: dict[str, Fault] = {name: FAULTS[name] for name in PARTS}
    faults |= {name: _killing(kept) for name, kept in processes.kept.items()}
    count = round(pace.run_s / pace.kill_s)
    for number, name in enumerate(schedule(scene.random, [*faults], count), 1):
        # The last kill leaves half of its time for the recovery.
        if stopping.wait(max(0.0, (number - 0.5) * pace.kill_s - gauges.elapsed_s())):
            return
        at_s = gauges.elapsed_s()
        if at_s > pace.run_s:
            return
        found = inflict(scene, name, faults[name], writer)
        result.kills.append((at_s, found))
        late = "NOT recovered" if found.recovered_s is None else f"recovered in {found.recovered_s:.1f} s"
        say(f"kill -9 {number} of {count}: {name}, {found.detail}, {late}")
    stopping.wait(max(0.0, pace.run_s - gauges.elapsed_s()))


def _killing(kept: Kept) -> Fault:
    def kill(_: Scene) -> str:
        kept.kill()
        return "started again"

    return kill


def _look(gauges: Gauges, result: Result, replays: Replays, progress: Progress) -> None:
    """Note what verify --watch says, and show how far the run is."""
    seen = gauges.metrics.get("verify", [])
    if ended := total(seen, "scorestream_verify_last_clean_timestamp_seconds"):
        result.verified.add(ended)
    wrong = sum(total(seen, "scorestream_verify_rows", finding=each) or 0 for each in ("missing", "extra", "stale"))
    wrong += total(seen, "scorestream_verify_visible_appeals") or 0
    result.verify_wrong = max(result.verify_wrong, wrong)
    waiting = gauges.last("waiting", "live")
    progress.set(
        round(gauges.elapsed_s()),
        note=f"{len(result.kills)} kills, {len(replays.done)} replays, {len(result.verified)} clean comparisons, "
        f"{'?' if waiting is None else round(waiting)} messages wait",
    )
