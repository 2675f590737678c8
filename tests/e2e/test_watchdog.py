"""The watchdog on the real stack: workers that really hang, each in another place; and one that must not be ended.

This file is also the worker's program: a supervisor, and a worker that hangs in the way that a file names.
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
from functools import partial
from pathlib import Path

import pytest

from devstack.stack import Stack
from drills.compare import lag
from tests.universe import ROOT, Universe, Worker, wait_for
from tests.workload import Workload

pytestmark = pytest.mark.stack

STALL_S = 8.0  # far above what a first batch takes on a loaded machine
EXIT_S = 4.0  # a worker that cannot end by itself is given so long
SESSION_S = "6"  # one that ended so is missed by the group after so long


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
SHOWN = {"fetch": "getmany", "loop": "getmany", "step": "thread index-scorecards", "commits": "thread watchdog"}


def main(trigger: Path, *, once: bool) -> int:
    """The program: a supervisor of itself, or the worker (`once`)."""
    from stream import supervise, watchdog, worker
    from stream.config import load
    from stream.logs import configure

    configure("info")
    if not once:
        supervise.LONGEST_WAIT_S = 1.0  # type: ignore[misc]
        return supervise.Supervisor([sys.executable, __file__, str(trigger), "once"]).run()
    watchdog.EXIT_S = EXIT_S  # type: ignore[misc]
    hung: set[str] = set()
    asking = threading.Lock()  # the agents' threads ask, too

    def now(way: str) -> bool:
        with asking:
            if trigger.exists() and trigger.read_text("utf-8") == way:
                trigger.unlink()  # the next worker is well
                hung.add(way)
            return way in hung

    for way, install in WAYS.items():
        install(partial(now, way))
    return worker.run(load())


@pytest.fixture(scope="module")
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    made = Universe(stack.env(), tmp_path_factory.mktemp("watchdog"))
    try:
        made.set_up()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def workload(universe: Universe) -> Iterator[Workload]:
    with universe.postgres() as connection:
        made = Workload(connection, seed=11)
        made.add(20)
        yield made


@pytest.fixture(scope="module")
def supervised(universe: Universe) -> Iterator[Worker]:
    """A supervisor with a worker that hangs when it is told to."""
    log = universe.folder / "supervised.log"
    env = universe.env | {"SCORESTREAM_WATCHDOG_STALL_S": str(STALL_S), "PYTHONPATH": str(ROOT)}
    env["SCORESTREAM_KAFKA_SESSION_TIMEOUT_S"] = SESSION_S
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, __file__, str(_trigger(universe))], env=env, stdout=out, stderr=out)
    worker = Worker(process, log)
    yield worker
    if worker.alive():
        worker.signal(signal.SIGTERM)
        process.wait(timeout=20)


def test_an_outage_is_no_stall(universe: Universe, workload: Workload) -> None:
    shards = universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")
    with universe.worker(SCORESTREAM_WATCHDOG_STALL_S=str(STALL_S), SCORESTREAM_RETRY_MAX_S="1") as worker:
        universe.wait_until_equal()
        try:
            # given shards that refuse all inserts
            for url in shards:
                order = urllib.request.Request(f"{url}/devstack/fail?code=252&times=100000", method="POST")
                urllib.request.urlopen(order, timeout=10).close()
            workload.add(20)
            # when it lasts for longer than the watchdog's limit
            began = time.monotonic()
            wait_for("the outage to last", lambda: time.monotonic() - began > 1.5 * STALL_S, deadline_s=60)
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


@pytest.mark.parametrize("way", list(WAYS))
def test_a_worker_that_hangs_ends_and_comes_back(
    way: str, universe: Universe, workload: Workload, supervised: Worker
) -> None:
    # given a worker that works, under a supervisor
    workload.add(5)
    universe.wait_until_equal()
    before = supervised.log.read_text("utf-8")
    # when it hangs, and changes come: more of them, for a fetch under way may still bring the first ones
    _trigger(universe).write_text(way, "utf-8")
    wait_for("the worker hangs", lambda: workload.add_scorecard() and not _trigger(universe).exists())
    for _ in range(20):
        workload.add_scorecard()

    def said() -> str:
        return supervised.log.read_text("utf-8")[len(before) :]

    # then it ends with an error and is started again
    wait_for("the worker is started again", lambda: "starting it again" in said(), deadline_s=STALL_S + EXIT_S + 40)
    assert 'msg="worker ended, starting it again" cause="exit code 1"' in said()
    # and its log says what it saw
    assert "watchdog: no progress for" in said()
    assert 'msg="watchdog: partition" topic=' in said()
    assert "committed=" in said()
    stacks = [line for line in said().splitlines() if 'msg="watchdog: stack"' in line]
    assert any(SHOWN[way] in line for line in stacks), "\n".join(stacks)
    # and the next one goes on where it stopped
    wait_for("everything is committed", lambda: lag(universe) == 0, deadline_s=90)
    universe.wait_until_equal()
    assert said().count("starting it again") == 1, said()


def test_a_supervised_worker_ends_well(supervised: Worker) -> None:
    assert supervised.stop(deadline_s=20) == 0, supervised.log_tail()


def _trigger(universe: Universe) -> Path:
    return universe.folder / "hang"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(Path(sys.argv[1]), once="once" in sys.argv[2:]))
