"""The demo step by step: stack, rows, connector, worker, live changes, comparison."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from demo.report import Result
from testbed.indexed import SETTLE_TIMEOUT_S, index, settle
from testbed.rig import Rig
from testbed.screen import Screen
from testbed.traffic.workload import Workload
from testbed.traffic.writer import LiveWriter
from testbed.visibility import counts
from testbed.visibility.figures import status
from testbed.visibility.prober import Prober


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line."""

    folder: Path = Path(".devstack")
    rate: float = 500.0
    seconds: float = 20.0
    scale: float = 1.0
    seed: int = 0
    keep: bool = False


def run(options: Options, screen: Screen) -> Result:
    """Run the demo. Raises Died or PartFailed when a part that it needs has failed."""
    begun = time.monotonic()
    with Rig(options.folder, say=screen.say, keep=options.keep) as rig:
        rig.scorestream("schema", "apply")
        with counts.Visible(rig.settings.clickhouse) as visible:
            work, rows, snapshot_s = index(rig, screen, visible, seed=options.seed, scale=options.scale)
        screen.say(f"  indexed: {rows:,} rows, {snapshot_s:.1f} s from the start of the worker")
        writer, prober = live(rig, screen, work, rate=options.rate, seconds=options.seconds, seed=options.seed)
        comparisons = settle(rig, screen)
        result = Result(
            seed=options.seed,
            comparisons=comparisons,
            latencies=prober.latencies,
            never_seen=len(prober.never),
            snapshot_rows=rows,
            snapshot_s=snapshot_s,
            changes=writer.changes,
            changes_per_s=writer.achieved_rate,
            wanted_rate=options.rate,
            worker_rss_mb=rig.worker_rss_mb(),
            took_s=time.monotonic() - begun,
        )
        screen.console.print(result.table())
        return result


def live(
    rig: Rig, screen: Screen, work: Workload, *, rate: float, seconds: float, seed: int
) -> tuple[LiveWriter, Prober]:
    """Write for this many seconds, then wait until the sampled changes are visible."""
    screen.say(f"live changes: {rate:g}/s for {seconds:g} s")
    prober = Prober(rig.settings.clickhouse, rig.worker_log)
    writer = LiveWriter(rig.postgres_url, work, rate=rate, on_seen=prober.add, seed=seed)
    prober.start()
    try:
        writer.start()
        with screen.line() as line:
            while (elapsed := time.perf_counter() - writer.started) < seconds:
                rig.check()
                writer.check()
                prober.check()
                line.update(status(writer, prober, elapsed))
                time.sleep(min(0.25, max(0.0, seconds - elapsed)))
            writer.stop()
            writer.check()
            prober.drain(SETTLE_TIMEOUT_S)
    finally:
        writer.stop()
        prober.stop()
    screen.say(f"  {status(writer, prober, seconds)}")
    if writer.achieved_rate < 0.95 * rate:
        screen.say(f"  the writer did not keep its rate: it was up to {writer.behind_s:.1f} s behind its schedule")
    return writer, prober
