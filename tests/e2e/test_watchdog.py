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
from testbed.universe import ROOT, Universe, Worker, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack

STALL_S = 10.0  # far above what the first batch takes of workers that start side by side on a loaded machine
EXIT_S = 4.0  # limit for a worker that cannot end by itself
SESSION_S = "6"  # time after which the group misses such a worker


def fetch_hangs(now: Callable[[], bool]) -> None:
    """Faust's fetcher never returns, and no other part notices: heartbeats go on."""
    from stream.live.transport import BatchConsumer

    original = BatchConsumer.getmany

    async def getmany(self, timeout):  # type: ignore[no-untyped-def]
        if now():
            await asyncio.Event().wait()
        async for item in original(self, timeout):
            yield item

    BatchConsumer.getmany = getmany  # type: ignore[method-assign]


def loop_hangs(now: Callable[[], bool]) -> None:
    """The event loop is blocked: the worker answers no question any more."""
    from stream.live.transport import BatchConsumer

    original = BatchConsumer.getmany

    async def getmany(self, timeout):  # type: ignore[no-untyped-def]
        if now():
            time.sleep(3600)
        async for item in original(self, timeout):
            yield item

    BatchConsumer.getmany = getmany  # type: ignore[method-assign]


def step_hangs(now: Callable[[], bool]) -> None:
    """A step of the pipeline never returns: its thread is lost."""
    from stream.pipeline.pipeline import Pipeline

    original = Pipeline.process

    def process(self, *args, **options):  # type: ignore[no-untyped-def]
        if now():
            threading.Event().wait()
        return original(self, *args, **options)

    Pipeline.process = process  # type: ignore[method-assign]


def commits_hang(now: Callable[[], bool]) -> None:
    """Everything is processed, nothing is committed: the next worker would do all of it again."""
    from stream.live.transport import BatchConsumer

    original = BatchConsumer._commit

    async def commit(self, offsets):  # type: ignore[no-untyped-def]
        return False if now() else await original(self, offsets)

    BatchConsumer._commit = commit  # type: ignore[method-assign]


WAYS = {"fetch": fetch_hangs, "loop": loop_hangs, "step": step_hangs, "commits": commits_hang}
SHOWN = {"fetch": "getmany", "loop": "getmany", "step": "thread index-scorecards", "commits": "thread watchdog"}


def main(trigger: Path, *, once: bool) -> int:
    """The program: a supervisor of itself, or the worker (`once`)."""
    from stream import supervise
    from stream.config import load
    from stream.live import watchdog, worker
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
    with Universe(stack.env(), tmp_path_factory.mktemp("watchdog")) as made:
        made.set_up()
        yield made


@pytest.fixture(scope="module")
def workload(universe: Universe) -> Iterator[Workload]:
    with universe.postgres() as connection:
        made = Workload(connection, seed=11)
        made.add(20)
        yield made


@pytest.fixture(scope="module")
def supervised(universe: Universe) -> Iterator[dict[str, Worker]]:
    """For each way to hang a supervisor, whose worker hangs on demand; each in a group of its own."""
    started: dict[str, Worker] = {}
    try:
        for way in WAYS:
            env = universe.env | {
                "SCORESTREAM_KAFKA_GROUP": _group(universe, way),
                "SCORESTREAM_KAFKA_SESSION_TIMEOUT_S": SESSION_S,
                "SCORESTREAM_STATE_DIR": str(universe.folder / way),
                "SCORESTREAM_WATCHDOG_STALL_S": str(STALL_S),
                "PYTHONPATH": str(ROOT),
            }
            log, program = universe.folder / f"{way}.log", [sys.executable, __file__, str(_trigger(universe, way))]
            with log.open("wb") as out:
                started[way] = Worker(subprocess.Popen(program, env=env, stdout=out, stderr=out), log)
        yield started
    finally:
        for worker in started.values():
            if worker.alive():
                worker.signal(signal.SIGTERM)
        for worker in started.values():
            worker.process.wait(timeout=20)


@pytest.mark.long
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
            wait_for("the outage to last", lambda: time.monotonic() - began > 1.2 * STALL_S, deadline_s=60)
        finally:
            for url in shards:
                order = urllib.request.Request(f"{url}/devstack/fail", method="DELETE")
                urllib.request.urlopen(order, timeout=10).close()
        # then the worker is still there, and ends the outage's backlog by itself
        universe.wait_until_equal()
        assert worker.alive()
        log = worker.log.read_text("utf-8")
    assert "msg=retry" in log
    assert "watchdog: stalled" not in log


@pytest.mark.long
def test_workers_that_hang_end_and_come_back(
    universe: Universe, workload: Workload, supervised: dict[str, Worker]
) -> None:
    # given workers that work, each under a supervisor
    workload.add(5)
    _wait_until_committed(universe)
    # when each hangs in its way, and changes come: more of them, for a fetch under way may still bring the first ones
    for way in WAYS:
        _trigger(universe, way).write_text(way, "utf-8")

    def all_hang() -> bool:
        workload.add_scorecard()
        return not any(_trigger(universe, way).exists() for way in WAYS)

    wait_for("the workers hang", all_hang)
    for _ in range(20):
        workload.add_scorecard()
    for way, worker in supervised.items():

        def said(worker: Worker = worker) -> str:
            return worker.log.read_text("utf-8")

        # then it ends with an error and is started again
        wait_for(f"{way}: it is started again", lambda: "starting it again" in said(), deadline_s=STALL_S + EXIT_S + 40)
        assert 'msg="process ended, starting it again" cause="exit code 1"' in said()
        # and its log says what it saw
        assert 'msg="watchdog: stalled" cause="no progress for' in said()
        assert 'msg="watchdog: partition" topic=' in said()
        assert "committed=" in said()
        stacks = [line for line in said().splitlines() if 'msg="watchdog: stack"' in line]
        assert any(SHOWN[way] in line for line in stacks), "\n".join([way, *stacks])
    # and the next ones go on where they stopped
    universe.wait_until_equal()
    _wait_until_committed(universe)
    for way, worker in supervised.items():
        assert worker.log.read_text("utf-8").count("starting it again") == 1, (way, worker.log_tail())


@pytest.mark.long
def test_supervised_workers_end_well(supervised: dict[str, Worker]) -> None:
    for worker in supervised.values():
        worker.signal(signal.SIGTERM)
    assert {way: worker.process.wait(timeout=20) for way, worker in supervised.items()} == dict.fromkeys(WAYS, 0)


def _wait_until_committed(universe: Universe) -> None:
    """Each group has committed all that is in Kafka."""
    for way in WAYS:
        group = _group(universe, way)
        wait_for(f"{way}: all is committed", lambda group=group: lag(universe, group=group) == 0, deadline_s=90)


def _group(universe: Universe, way: str) -> str:
    return f"{universe.name}-{way}"


def _trigger(universe: Universe, way: str) -> Path:
    return universe.folder / f"hang-{way}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main(Path(sys.argv[1]), once="once" in sys.argv[2:]))
