"""The customers' rows loaded and indexed by a worker, and both stores compared at the end."""

from __future__ import annotations

import time

from stream.tables import TARGETS
from testbed.rig import Died, Rig, tail
from testbed.screen import Screen
from testbed.traffic import workload
from testbed.traffic.customers import IDS
from testbed.traffic.workload import Workload
from testbed.visibility import counts
from testbed.visibility.compare import Comparison, compare

INDEX_TIMEOUT_S = 400
STALL_S = 90  # tolerance of no row
SETTLE_TIMEOUT_S = 40


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
