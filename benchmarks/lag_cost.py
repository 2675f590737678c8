"""What watching costs: the monitor's share of a core, idle and while rows come in, scraped every 2 s.

    python -m benchmarks.lag_cost [--partitions 22] [--seconds 30] [--messages 100000] [--rounds 8]

It runs on a stack of its own that is removed afterwards. Each of the three topics has `--partitions`; 22 make 66. One
worker runs. The kernel gives the CPU time of the monitor's process: sampling, diagnosis, history and scrapes together.

Then it measures the effect on a worker's throughput. `--messages` are indexed again and again after a rewind, in turn
with and without a monitor that is scraped. Seconds count from the moment the group has its partitions to the last row's
storage in ClickHouse, by its clock. `throughput_loss` compares the medians.

Last line: one line of JSON. Exit 1 when a share is above 1 % of a core. Exit 1 also when the loss is above 2 % and
above the spread of rounds of one kind.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import urllib3

from benchmarks.common import RESULTS, Group, Offsets, last_stored, machine, say
from devstack.stack import Stack
from stream.clickhouse.shards import connect
from stream.config import Settings
from stream.tables import TARGETS
from testbed.replays import settings_of, wait_until_published
from testbed.universe import SCORESTREAM, Universe, wait_for
from testbed.workload import Workload

LIMIT = 0.01  # of a core
LOSS = 0.02  # of a worker's messages/s
SCRAPE_S = 2.0
CHANGES_PER_S = 100
URL = "http://127.0.0.1:6967"
# Process scorecards with four scores each, over a month.
ROWS = """
WITH made AS (
    INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, scorecard_time, submission_source)
    SELECT gen_random_uuid(), 'customer-' || n %% 20, gen_random_uuid(),
           '2026-03-01'::timestamptz + n %% 30 * '1 day'::interval, 2
    FROM generate_series(1, %(scorecards)s) n RETURNING scorecard_id
)
INSERT INTO app.scores (score_id, scorecard_id, criterion_id, numeric_value, updated_at)
SELECT gen_random_uuid(), scorecard_id, gen_random_uuid(), random(), now() FROM made, generate_series(1, 4)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=22, help="of each topic (default: 22)")
    parser.add_argument("--seconds", type=float, default=30, help="of each measurement (default: 30)")
    parser.add_argument("--messages", type=int, default=100_000, help="of a round of catching up (default: 100000)")
    parser.add_argument("--rounds", type=int, default=8, help="of each kind; 0 leaves them out (default: 8)")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-bench"), help="folder of the stack")
    options = parser.parse_args()
    stack = Stack(options.dir, say=say)
    try:
        stack.up()
        with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
            universe = Universe(stack.env(), Path(folder), partitions=options.partitions)
            opened.callback(universe.close)
            universe.env |= {"SCORESTREAM_WEB_PORT": "6968", "SCORESTREAM_MONITOR_PROCESSES": "http://127.0.0.1:6968"}
            universe.set_up()
            with universe.worker():
                result = bench(universe, seconds=options.seconds)
            if options.rounds:
                result |= catch_up(universe, messages=options.messages, rounds=options.rounds)
            return publish(result, seconds=options.seconds)
    finally:
        stack.clean()


def bench(universe: Universe, *, seconds: float) -> dict[str, Any]:
    """Shares of a core, idle and busy."""
    with monitor(universe) as process:
        partitions = len(wait_for("the monitor has seen the partitions", seen)["partitions"])
        shares = {"idle": share(process.pid, seconds=seconds)}
        with universe.postgres() as connection:
            workload = Workload(connection, seed=6)
            workload.add(500)
            ended = threading.Event()
            thread = threading.Thread(target=change, args=(workload, ended))
            thread.start()
            try:
                shares["busy"] = share(process.pid, seconds=seconds)
            finally:
                ended.set()
                thread.join()
        rss = psutil.Process(process.pid).memory_info().rss
    return {
        "bench": "lag_cost",
        "partitions": partitions,
        "idle_core_share": round(shares["idle"], 4),
        "busy_core_share": round(shares["busy"], 4),
        "rss_mb": round(rss / 1e6),
    }


@contextmanager
def monitor(universe: Universe) -> Iterator[subprocess.Popen[bytes]]:
    """A monitor's process for the length of a block."""
    with (universe.folder / "monitor.log").open("wb") as out:
        process = subprocess.Popen([SCORESTREAM, "monitor", "--port", "6967"], env=universe.env, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def catch_up(universe: Universe, *, messages: int, rounds: int) -> dict[str, Any]:
    """Messages/s of a worker that comes back to a backlog, without and with a monitor that is scraped."""
    with universe.postgres() as connection:
        connection.execute(ROWS, {"scorecards": messages // 5})
    say(f"{messages:,} messages are loaded; the worker indexes them for the first time")
    wait_until_published(universe)
    settings = settings_of(universe)
    group = Group(settings)
    try:
        end = group.ends()
        total, _, done = group.read(dict.fromkeys(end, 0), end)
        round_s(universe, group, settings, done)  # warms up the caches
        took: dict[str, list[float]] = {"without": [], "with": []}
        cpu_s = 0.0
        for number in range(rounds):
            # In turn, so that a drift weighs on both alike.
            for kind in ("without", "with") if number % 2 == 0 else ("with", "without"):
                with monitor(universe) if kind == "with" else nullcontext() as process, scraped(bool(process)):
                    if process is not None:
                        wait_for("the monitor answers", seen_without_processes)
                    before = cpu_of(process)
                    took[kind].append(round_s(universe, group, settings, done))
                    cpu_s += cpu_of(process) - before
            say(f"without {took['without'][-1]:.2f} s, with {took['with'][-1]:.2f} s")
    finally:
        group.close()
    rate = {kind: total / statistics.median(each) for kind, each in took.items()}
    return {
        "messages": total,
        "messages_per_s_without": round(rate["without"]),
        "messages_per_s_with": round(rate["with"]),
        "throughput_loss": round(1 - rate["with"] / rate["without"], 4),
        "rounds_differ_by": round(max(max(each) / min(each) for each in took.values()) - 1, 4),
        "monitor_cpu_s_of_a_round": round(cpu_s / rounds, 2),
    }


def cpu_of(process: subprocess.Popen[bytes] | None) -> float:
    """CPU seconds of a process so far; 0 for none."""
    if process is None:
        return 0.0
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def round_s(universe: Universe, group: Group, settings: Settings, done: Offsets) -> float:
    """Index everything once into empty tables: seconds from the assignment to the last row's storage."""
    for shard in range(len(settings.clickhouse.shards)):
        client = connect(settings.clickhouse, shard)
        for table in TARGETS:
            client.command(f"TRUNCATE TABLE {table.target}")
        client.close()
    universe.run("rewind", "--to-earliest", "--yes")
    started = time.time()
    with universe.worker():
        wait_for("the worker has its partitions", group.assigned, every_s=0.05)
        assigned = time.time()

        def committed() -> bool:
            now = group.committed()
            return all(now[tp] >= offset for tp, offset in done.items())

        wait_for("all offsets are committed", committed, deadline_s=240, every_s=0.25)
    return last_stored(settings.clickhouse, started) - assigned


@contextmanager
def scraped(wanted: bool) -> Iterator[None]:
    """Scrape the monitor for the length of a block, when it is wanted."""
    if not wanted:
        yield
        return
    ended = threading.Event()

    def scrape() -> None:
        answers = urllib3.PoolManager()
        while not ended.wait(SCRAPE_S):
            with suppress(urllib3.exceptions.HTTPError):
                answers.request("GET", f"{URL}/metrics", retries=False)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def publish(result: dict[str, Any], *, seconds: float) -> int:
    """Exit code; prints and keeps the result."""
    kept = result | {"scraped_every_s": SCRAPE_S, "seconds": seconds, "machine": machine()}
    kept["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    (RESULTS / "lag_cost.json").write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    print(json.dumps(result), flush=True)
    lost = result.get("throughput_loss", 0.0)
    slower = lost > LOSS and lost > result.get("rounds_differ_by", 0.0)
    return int(max(result["idle_core_share"], result["busy_core_share"]) > LIMIT or slower)


def seen() -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = urllib3.request("GET", f"{URL}/api/state", retries=False).json()
    except urllib3.exceptions.HTTPError:
        return None
    return found if found["partitions"] and found["processes"] else None


def seen_without_processes() -> bool:
    """Between two rounds no worker runs."""
    try:
        return bool(urllib3.request("GET", f"{URL}/api/state", retries=False).json()["partitions"])
    except urllib3.exceptions.HTTPError:
        return False


def share(pid: int, *, seconds: float) -> float:
    """CPU seconds for each second, while /metrics is scraped."""
    process, answers = psutil.Process(pid), urllib3.PoolManager()
    before, began = process.cpu_times(), time.monotonic()
    while (left := began + seconds - time.monotonic()) > 0:
        answers.request("GET", f"{URL}/metrics")
        threading.Event().wait(min(SCRAPE_S, left))
    after, took = process.cpu_times(), time.monotonic() - began
    return (after.user + after.system - before.user - before.system) / took


def change(workload: Workload, ended: threading.Event) -> None:
    while not ended.wait(1 / CHANGES_PER_S):
        workload.change()


if __name__ == "__main__":
    sys.exit(main())
