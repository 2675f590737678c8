"""The watchdog on the real stack: workers that really hang, each in another place; and one that must not be ended.

Workers run as processes of their own: this file is also their program. It hangs once a file named `hang` is there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.universe import Universe, Worker, wait_for
from tests.workload import Workload

pytestmark = pytest.mark.stack

STALL_S = 10.0  # far above what a first batch takes on a loaded machine
EXIT_S = 15.0  # a blocked event loop is given so long


def fetch_hangs(now: Callable[[], bool]) -> None:
    """Faust's fetcher never returns, and nobody notices: heartbeats go on."""
    from stream.faust_transport import BatchConsumer

    original = BatchConsumer.getmany

    async def getmany(self, timeout):  # type: ignore[no-untyped-def]
        if now():
            await asyncio.Event().wait()
        async for item in original(self, timeout):
            yield item

    BatchConsumer.getmany = getmany  # type: ignore[method-assign]


def loop_hangs(now: Callable[[], bool]) -> None:
    """The event loop is blocked: nothing can be asked of the worker any more."""
    from stream.faust_transport import BatchConsumer

    original = BatchConsumer.getmany

    async def getmany(self, timeout):  # type: ignore[no-untyped-def]
        if now():
            time.sleep(3600)
        async for item in original(self, timeout):
            yield item

    BatchConsumer.getmany = getmany  # type: ignore[method-assign]


def step_hangs(now: Callable[[], bool]) -> None:
    """A step of the pipeline never returns: its thread is lost."""
    from stream.pipeline import Pipeline

    original = Pipeline.process

    def process(self, *args, **options):  # type: ignore[no-untyped-def]
        if now():
            threading.Event().wait()
        return original(self, *args, **options)

    Pipeline.process = process  # type: ignore[method-assign]


def commits_hang(now: Callable[[], bool]) -> None:
    """Everything is processed, nothing is committed: the next worker would do all of it again."""
    from stream.faust_transport import BatchConsumer

    original = BatchConsumer._commit

    async def commit(self, offsets):  # type: ignore[no-untyped-def]
        return False if now() else await original(self, offsets)

    BatchConsumer._commit = commit  # type: ignore[method-assign]


WAYS = {"fetch": fetch_hangs, "loop": loop_hangs, "step": step_hangs, "commits": commits_hang}


def main(way: str, trigger: Path) -> int:
    """The worker's program."""
    from stream import supervise, worker
    from stream.config import load
    from stream.logs import configure

    configure("info")
    if way.startswith("restart-"):
        way = way.removeprefix("restart-")
        return supervise.Supervisor([sys.executable, __file__, f"once-{way}", str(trigger)]).run()
    once = way.startswith("once-")

    def now() -> bool:
        there = trigger.exists()
        if there and once:
            trigger.unlink()
        return there

    WAYS[way.removeprefix("once-")](now)
    return worker.run(load())


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    made = Universe(stack_env, tmp_path)
    try:
        made.set_up()
        yield made
    finally:
        made.close()


@contextmanager
def hanging(universe: Universe, way: str) -> Iterator[Worker]:
    log = universe.folder / "hanging.log"
    env = universe.env | {
        "SCORESTREAM_WATCHDOG_STALL_S": str(STALL_S),
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
    }
    with log.open("wb") as out:
        command = [sys.executable, __file__, way, str(universe.folder / "hang")]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    worker = Worker(process, log)
    try:
        yield worker
    except BaseException:
        print(worker.log_tail(80))
        raise
    finally:
        if worker.alive():
            worker.signal(signal.SIGTERM)
            process.wait(timeout=20)


@pytest.mark.parametrize(
    ("way", "shown"),
    [("fetch", "getmany"), ("loop", "getmany"), ("step", "thread index-scorecards"), ("commits", "thread watchdog")],
)
def test_a_worker_that_hangs_ends(universe: Universe, way: str, shown: str) -> None:
    with universe.postgres() as connection:
        # given a worker that works
        workload = Workload(connection, seed=11)
        workload.add(20)
        with hanging(universe, way) as worker:
            universe.wait_until_equal()
            # when it hangs, and changes come
            (universe.folder / "hang").touch()
            for _ in range(20):
                workload.add_scorecard()
            # then it ends with an error, and the log says what it saw
            assert worker.process.wait(timeout=STALL_S + EXIT_S + 40) == 1
            log = worker.log.read_text("utf-8")
        assert "no progress for" in log
        assert 'msg="watchdog: partition" topic=' in log
        assert "committed=" in log
        stacks = [line for line in log.splitlines() if 'msg="watchdog: stack"' in line]
        assert any(shown in line for line in stacks), "\n".join(stacks)
        # and another one goes on where it stopped
        with universe.worker():
            universe.wait_until_equal()


def test_under_a_supervisor_it_comes_back(universe: Universe) -> None:
    with universe.postgres() as connection:
        workload = Workload(connection, seed=12)
        workload.add(20)
        # given a worker under a supervisor, which hangs once
        with hanging(universe, "restart-fetch") as worker:
            universe.wait_until_equal()
            (universe.folder / "hang").touch()
            # when changes come
            for _ in range(20):
                workload.add_scorecard()
            # then they are indexed all the same
            universe.wait_until_equal(deadline_s=90)
            log = worker.log.read_text("utf-8")
            restarts = [line for line in log.splitlines() if "starting it again" in line]
            assert len(restarts) == 1, restarts
            assert 'cause="exit code 1"' in restarts[0]
            assert worker.stop(deadline_s=20) == 0


def test_an_outage_is_no_stall(universe: Universe) -> None:
    shards = universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")
    with universe.postgres() as connection:
        workload = Workload(connection, seed=13)
        workload.add(20)
        with universe.worker(SCORESTREAM_WATCHDOG_STALL_S=str(STALL_S), SCORESTREAM_RETRY_MAX_S="1") as worker:
            universe.wait_until_equal()
            try:
                # given shards that refuse all inserts
                for url in shards:
                    order = urllib.request.Request(f"{url}/devstack/fail?code=252&times=100000", method="POST")
                    urllib.request.urlopen(order, timeout=10).close()
                workload.add(20)
                # when it lasts for much longer than the watchdog's limit
                began = time.monotonic()
                wait_for("the outage to last", lambda: time.monotonic() - began > 2.5 * STALL_S, deadline_s=60)
            finally:
                for url in shards:
                    order = urllib.request.Request(f"{url}/devstack/fail", method="DELETE")
                    urllib.request.urlopen(order, timeout=10).close()
            # then the worker is still there, and ends the outage's backlog by itself
            universe.wait_until_equal()
            assert worker.alive()
            log = worker.log.read_text("utf-8")
        assert 'msg="retry' in log
        assert "watchdog: no progress" not in log


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
