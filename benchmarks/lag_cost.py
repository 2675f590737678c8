"""What watching costs: the monitor's share of a core, idle and while rows come in, scraped every 2 s.

    python -m benchmarks.lag_cost [--partitions 22] [--seconds 30]

On a stack of its own that is removed afterwards. Each of the three topics has `--partitions`; 22 make 66. One worker
runs. CPU time is the kernel's, of the monitor's process: sampling, diagnosis, history and scrapes together.

Last line: one line of JSON. Exit 1 when a share is above 1 % of a core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import urllib3

from benchmarks.common import RESULTS, machine, say
from devstack.stack import Stack
from tests.universe import SCORESTREAM, Universe, wait_for
from tests.workload import Workload

LIMIT = 0.01  # of a core
SCRAPE_S = 2.0
CHANGES_PER_S = 100
URL = "http://127.0.0.1:6967"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=22, help="of each topic (default: 22)")
    parser.add_argument("--seconds", type=float, default=30, help="of each measurement (default: 30)")
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
            opened.enter_context(universe.worker())
            return bench(universe, seconds=options.seconds)
    finally:
        stack.clean()


def bench(universe: Universe, *, seconds: float) -> int:
    """Exit code; prints and keeps the result."""
    log = universe.folder / "monitor.log"
    with log.open("wb") as out:
        monitor = subprocess.Popen([SCORESTREAM, "monitor", "--port", "6967"], env=universe.env, stdout=out, stderr=out)
    try:
        partitions = len(wait_for("the monitor has seen the partitions", seen)["partitions"])
        shares = {"idle": share(monitor.pid, seconds=seconds)}
        with universe.postgres() as connection:
            workload = Workload(connection, seed=6)
            workload.add(500)
            ended = threading.Event()
            thread = threading.Thread(target=change, args=(workload, ended))
            thread.start()
            try:
                shares["busy"] = share(monitor.pid, seconds=seconds)
            finally:
                ended.set()
                thread.join()
        rss = psutil.Process(monitor.pid).memory_info().rss
    finally:
        monitor.terminate()
        monitor.wait()
    result: dict[str, Any] = {
        "bench": "lag_cost",
        "partitions": partitions,
        "idle_core_share": round(shares["idle"], 4),
        "busy_core_share": round(shares["busy"], 4),
        "rss_mb": round(rss / 1e6),
    }
    kept = result | {"scraped_every_s": SCRAPE_S, "seconds": seconds, "machine": machine()}
    kept["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    (RESULTS / "lag_cost.json").write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    print(json.dumps(result), flush=True)
    return int(max(shares.values()) > LIMIT)


def seen() -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = urllib3.request("GET", f"{URL}/api/state", retries=False).json()
    except urllib3.exceptions.HTTPError:
        return None
    return found if found["partitions"] and found["processes"] else None


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
