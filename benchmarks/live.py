"""Live latency: from Postgres' commit to the row in ClickHouse, at 1,000 row changes a second.

    python -m benchmarks.live [--rate 1000] [--seconds 60] [--mix everything --recent 0]

The changes are a working day's (testbed/traffic/changes.py: ORDINARY), measured as a reader sees them
(testbed/visibility/prober.py). With `--mix everything --recent 0` every fifth transaction changes a place, and all fall
anywhere in two months. That is the worst case for ClickHouse, which gets a part for each month. A warm-up at the same
rate comes first and does not count. Afterwards the rate rises until p99 passes a second: the knee (benchmarks/knee.py).

Last line: one line of JSON. Exit 1 when a sampled change was never seen, or when the two stores differ afterwards.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.common import Group, publish, say
from benchmarks.cpu import CpuReading
from benchmarks.floor import commit_to_kafka_ms, stamp_appends
from benchmarks.knee import Step, knee_of, measure_with, ramp, shown
from devstack.process import PartFailed
from stream.kafka.client import client_options
from stream.tables import SOURCES
from testbed.indexed import index, settle
from testbed.rig import Died, Rig
from testbed.screen import Screen
from testbed.traffic.changes import EVERYTHING, MOVES, ORDINARY
from testbed.traffic.writer import LiveWriter
from testbed.visibility import counts
from testbed.visibility.figures import percentiles, status
from testbed.visibility.prober import Latency, Prober

MIXES = {"ordinary": ORDINARY, "everything": EVERYTHING, "moves": MOVES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1_000, help="row changes a second (default: 1000)")
    parser.add_argument("--seconds", type=float, default=60, help="measured (default: 60)")
    parser.add_argument("--warm-up", type=float, default=10, help="seconds before that (default: 10)")
    parser.add_argument("--scale", type=float, default=1, help="of the rows loaded before (default: 1)")
    parser.add_argument("--mix", choices=MIXES, default="ordinary", help="of the changes (default: ordinary)")
    parser.add_argument(
        "--recent", type=float, default=0.98, help="share of the changes in the last week (default: 0.98)"
    )
    parser.add_argument("--no-ramp", action="store_true", help="do not look for the knee afterwards")
    parser.add_argument("--dir", type=Path, default=Path(".devstack"), help="folder of the stack (default: .devstack)")
    options = parser.parse_args()
    try:
        return bench(options)
    except (Died, PartFailed) as error:
        say(f"live: {error}")
        return 1


def bench(options: argparse.Namespace) -> int:
    """Exit code; prints and keeps the result."""
    screen = Screen(to_stderr=True)
    seed = secrets.randbelow(1 << 31)
    with Rig(options.dir, say=screen.say) as rig:
        rig.scorestream("schema", "apply")
        with counts.Visible(rig.settings.clickhouse) as visible:
            work, *_ = index(rig, screen, visible, seed=seed, scale=options.scale)
        options_of_kafka = client_options(rig.settings.kafka)
        stamp_appends(options_of_kafka, [rig.settings.topics.of(table) for table in SOURCES])
        group = Group(rig.settings)
        prober = Prober(rig.settings.clickhouse, rig.worker_log)
        writer = LiveWriter(
            rig.postgres_url,
            work,
            rate=options.rate,
            on_seen=prober.add,
            seed=seed,
            mix=MIXES[options.mix],
            recent=options.recent,
        )
        prober.start()
        rss: list[float] = []
        try:
            writer.start()
            screen.say(f"warm-up, {options.warm_up:g} s at {options.rate:g}/s")
            _until(rig, screen, writer, prober, options.warm_up, rss)
            log_start, cpu_start = group.ends(), CpuReading.of(rig)
            before, rss_start, begun = writer.changes, rig.worker_rss_mb(), time.perf_counter()
            screen.say(f"measuring, {options.seconds:g} s")
            _until(rig, screen, writer, prober, options.warm_up + options.seconds, rss)
            took_s, changes, rss_end = time.perf_counter() - begun, writer.changes - before, rig.worker_rss_mb()
            cpu_end, log_end = CpuReading.of(rig), group.ends()
            steps = [] if options.no_ramp else _ramp(screen, rig, writer, prober)
            writer.stop()
            writer.check()
            prober.drain(40)
        finally:
            writer.stop()
            prober.stop()
            group.close()
        measured = [each for each in prober.latencies if begun <= each.committed < begun + took_s]
        comparisons = settle(rig, screen)
        found = percentiles(measured)
        costs = cpu_end.us_per_change(cpu_start, changes)
        result = {
            "bench": "live",
            "p50_ms": found["p50_ms"],
            "p95_ms": found["p95_ms"],
            "p99_ms": found["p99_ms"],
            "changes_per_s": round(changes / took_s, 1),
            "cpu_us_per_change": round(sum(costs.values())),
            "kafka_p50_ms": commit_to_kafka_ms(options_of_kafka, log_start, log_end),
            "knee_per_s": knee_of(steps),
            "rss_mb_start": round(rss_start, 1),
            "rss_mb_end": round(rss_end, 1),
        }
        different = sum(each.different_rows for each in comparisons)
        detail = {
            "seconds": round(took_s, 1),
            "mix": options.mix,
            "recent": options.recent,
            "changes": changes,
            "transactions": writer.transactions,
            "samples": found["samples"],
            "max_ms": found["max_ms"],
            "by_kind": _by_kind(measured),
            "never_seen": len(prober.never),
            "rows_that_differ_afterwards": different,
            "rows_compared": sum(sum(each.clickhouse.values()) for each in comparisons),
            "appeals_visible": sum(each.appeals_visible for each in comparisons),
            "writer_behind_s": round(writer.behind_s, 3),
            "rss_mb_max": round(max(rss, default=0), 1),
            "cpu_us_per_change_by_part": costs,
            "cpus_used": cpu_end.cpus_since(cpu_start),
            "idle_share": cpu_end.idle_share(cpu_start),
            "ramp": shown(steps),
            "reader_queries": prober.polls,
        }
        publish(result, detail=detail, rig=rig)
    return 1 if prober.never or different or not measured else 0


def _until(rig: Rig, screen: Screen, writer: LiveWriter, prober: Prober, seconds: float, rss: list[float]) -> None:
    with screen.line() as line:
        while (elapsed := time.perf_counter() - writer.started) < seconds:
            rig.check()
            writer.check()
            prober.check()
            rss.append(rig.worker_rss_mb())
            line.update(f"{status(writer, prober, elapsed)}  worker {rss[-1]:.0f} MB")
            time.sleep(min(0.5, max(0.0, seconds - elapsed)))


def _ramp(screen: Screen, rig: Rig, writer: LiveWriter, prober: Prober) -> list[Step]:
    screen.say("looking for the knee")

    def check() -> None:
        rig.check()
        writer.check()
        prober.check()

    measure = measure_with(writer, prober, check)

    def measured(rate: int) -> Step:
        step = measure(rate)
        screen.say(f"  {rate:,}/s: written {step.written_per_s:,.0f}/s, p50 {step.p50_ms} ms, p99 {step.p99_ms} ms")
        return step

    return ramp(measured)


def _by_kind(latencies: list[Latency]) -> dict[str, Any]:
    return {
        kind: percentiles([each for each in latencies if each.kind == kind])
        for kind in sorted({each.kind for each in latencies})
    }


if __name__ == "__main__":
    sys.exit(main())
