"""The demo step by step: stack, rows, connector, worker, live changes, comparison."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from demo.report import Result, percentile
from stream.tables import TARGETS
from testbed.rig import Died, Rig, tail
from testbed.screen import Screen
from testbed.traffic import workload
from testbed.traffic.customers import IDS
from testbed.traffic.workload import Workload
from testbed.traffic.writer import LiveWriter
from testbed.visibility import counts
from testbed.visibility.compare import Comparison, compare
from testbed.visibility.prober import Prober

INDEX_TIMEOUT_S = 400
STALL_S = 90  # tolerance of no row
SETTLE_TIMEOUT_S = 40


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


def index(rig: Rig, screen: Screen, visible: counts.Visible, *, seed: int, scale: float) -> tuple[Workload, int, float]:
    """Load the source rows and index them with a worker, which goes on running: the rows, how many, and seconds."""
    since = visible.now()
    work = load(rig, screen, seed=seed, scale=scale)
    rig.scorestream("connectors", "apply", "--wait")
    started = time.monotonic()
    rig.start_worker()
    rows = wait_indexed(rig, screen, visible, since=since)
    return work, rows, time.monotonic() - started


def load(rig: Rig, screen: Screen, *, seed: int, scale: float) -> Workload:
    """Source rows, in place of those of an earlier run: these leave through the pipeline, like any delete."""
    begun = time.monotonic()
    with rig.postgres() as connection:
        if deleted := workload.clear(connection):
            screen.say(
                f"deleted {deleted:,} rows of an earlier run from Postgres; ClickHouse follows as with any delete"
            )
        work = workload.load(connection, seed=seed, scale=scale)
    numbers = ", ".join(f"{count:,} {table}" for table, count in work.rows.items() if table != "scorecard_templates")
    screen.say(f"loaded {', '.join(IDS)}: {numbers} (seed {seed}, {time.monotonic() - begun:.1f} s)")
    screen.say(f"  of the scorecards {len(work.process):,} are of a process, {len(work.appeals):,} are appeals")
    return work


def wait_indexed(rig: Rig, screen: Screen, visible: counts.Visible, *, since: float) -> int:
    """Wait until the counts in ClickHouse are those of Postgres; returns the number of rows."""
    with rig.postgres() as connection:
        wanted = counts.expected(connection)
    total = sum(wanted.values())
    with screen.bar("indexing", total) as bar:
        seen: tuple[counts.Counts, counts.Counts] = ({}, {})
        moved = time.monotonic()

        def done() -> bool:
            nonlocal seen, moved
            every, fresh = visible.count(since=since)
            if (every, fresh) != seen:
                seen, moved = (every, fresh), time.monotonic()
            elif time.monotonic() - moved > STALL_S:
                raise Died(
                    f"indexing stands still for {STALL_S} s at {sum(fresh.values()):,} of {total:,} rows; "
                    f"the end of the worker's log:\n{tail(rig.worker_log)}"
                )
            bar.update(sum(min(fresh[name], wanted[name]) for name in wanted))
            return every == wanted == fresh

        rig.wait_until(done, what="the loaded rows are indexed", timeout_s=INDEX_TIMEOUT_S, every_s=0.5)
    return total


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


def status(writer: LiveWriter, prober: Prober, elapsed_s: float) -> str:
    """One line: the changes written, and how soon they were visible so far."""
    values = [latency.ms for latency in list(prober.latencies)]
    text = f"{elapsed_s:4.0f} s  {writer.changes:,} changes  {writer.achieved_rate:,.0f}/s"
    if values:
        text += f"  commit to visible p50 {percentile(values, 0.5):.0f} ms  p99 {percentile(values, 0.99):.0f} ms"
        text += f"  ({len(values)} sampled)"
    return text + f"  pending {prober.pending}"


def settle(rig: Rig, screen: Screen) -> list[Comparison]:
    """Compare. While rows differ and there is time, compare again: the last changes may still be under way."""
    screen.say("comparing all rows of both stores")
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    with rig.postgres() as connection:
        while True:
            found = [compare(connection, rig.settings.clickhouse, customer_id) for customer_id in IDS]
            different = sum(each.different_rows for each in found)
            if not different or time.monotonic() > deadline:
                break
            rig.check()
            time.sleep(0.5)
    for each in found:
        for difference in each.differences:
            screen.say(
                f"  {each.customer_id}: {difference.missing} missing, {difference.extra} extra, "
                f"{difference.stale} stale of {difference.table}"
            )
            for example in difference.examples:
                screen.say(f"    {example}")
    assert {table.target for table in TARGETS} == set(found[0].postgres)
    return found
