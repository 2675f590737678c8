"""The local stack, the scorestream commands and one worker, for as long as a demo or a benchmark runs.

    with Rig(Path(".devstack"), say=print) as rig:      # starts the stack unless it runs already
        rig.scorestream("schema", "apply")
        rig.start_worker()
        ...
        rig.check()                                     # raises Died when a part, the worker or the connector died

At the end the rig stops the parts that it started; a stack that ran before is left running.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

from devstack.process import PartFailed
from devstack.stack import Stack
from stream.config import Settings, load
from stream.connect.rest import Connect
from stream.errors import ScorestreamError
from testbed.traffic import workload

ROOT = Path(__file__).parents[1]
LOOK_S = 1.0  # between two looks at the parts; the worker is looked at each time


class Died(Exception):
    """A part that the run needs has failed. The text names it and holds the tail of its log."""


class Rig:
    """A running stack, with at most one worker of ours.

    Args:
        folder: the stack's.
        say: takes one line of progress.
        keep: leave everything running at the end.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None], keep: bool = False) -> None:
        self.stack = Stack(folder, say=lambda line: say(f"  {line}"))
        self.say = say
        self.keep = keep
        self.ours = False  # we started the stack
        self.env: dict[str, str] = {}
        self.worker: subprocess.Popen[bytes] | None = None
        self.worker_log = self.stack.root / "log" / "demo-worker.log"
        self._settings: Settings | None = None
        self._looked = 0.0

    def __enter__(self) -> Self:
        running = [each.name for each in self.stack.status() if each.state == "running"]
        self.ours = not running
        self.say("the stack runs already: using it" if running else "starting the stack (make up does the same)")
        try:
            self.stack.up()
            self._connect()
            if self.ours and workload.only_ours(self.postgres_url):
                # The pipeline could delete its rows as well, and does so on a stack of another user.
                self.say("the stack has an earlier run's rows and nothing else: starting over with an empty one")
                self.stack.clean()
                self.stack = Stack(self.stack.root, say=self.stack.say)
                self.stack.up()
                self._connect()
        except BaseException:
            self._close()
            raise
        return self

    def _connect(self) -> None:
        self.env = self.stack.env()
        self._settings = None
        os.environ.update(self.env)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._close()

    @property
    def settings(self) -> Settings:
        """The settings with which scorestream reaches the stack."""
        if self._settings is None:
            self._settings = load()
        return self._settings

    @property
    def postgres_url(self) -> str:
        """libpq URL of a role that may write the source tables."""
        return self.env["DEVSTACK_POSTGRES_URL"]

    def postgres(self) -> psycopg.Connection[Any]:
        """A connection in autocommit."""
        return psycopg.connect(self.postgres_url, autocommit=True, application_name="demo")

    def scorestream(self, *arguments: str) -> None:
        """Run a scorestream command, show its output.

        Raises:
            Died: it ended with another exit code than 0.
        """
        self.say(f"$ scorestream {' '.join(arguments)}")
        done = subprocess.run(
            [sys.executable, "-m", "stream.cli", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )
        for line in done.stdout.splitlines():
            self.say(f"  {line}")
        if done.returncode:
            raise Died(f"scorestream {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout.strip()}")

    def start_worker(self, **env: str) -> None:
        """Start `scorestream worker` in a process group of its own: Ctrl-C reaches only the rig, which ends it."""
        self.say("$ scorestream worker")
        self.worker_log.parent.mkdir(parents=True, exist_ok=True)
        with self.worker_log.open("ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "stream.cli", "worker"],
                cwd=ROOT,
                env={
                    **os.environ,
                    "SCORESTREAM_WEB_PORT": str(self._web_port()),
                    "SCORESTREAM_CLICKHOUSE_LOG_INSERTS": "true",  # for testbed/visibility/acks.py
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop_worker(self, timeout_s: float = 15) -> None:
        """SIGTERM and wait; SIGKILL when it does not end."""
        worker, self.worker = self.worker, None
        if worker is None:
            return
        worker.terminate()
        try:
            worker.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.say(f"the worker did not stop within {timeout_s:.0f} s of SIGTERM: SIGKILL")
            worker.kill()
            worker.wait()

    def worker_rss_mb(self) -> float:
        """Resident memory of the worker and its children."""
        if self.worker is None:
            return 0.0
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.worker.pid)
            family = [process, *process.children(recursive=True)]
            return float(sum(each.memory_info().rss for each in family) / 1e6)
        return 0.0

    def pids(self) -> dict[str, int]:
        """The process of each part that runs, and of the worker."""
        found = {name: part.process.pid() for name, part in self.stack.parts.items()}
        found["worker"] = self.worker.pid if self.worker else None
        return {name: pid for name, pid in found.items() if pid is not None}

    def check(self) -> None:
        """Raise when a part died; cheap enough for every turn of a loop.

        Raises:
            Died: the worker, a part of the stack, the connector or its task.
        """
        if self.worker is not None and self.worker.poll() is not None:
            last = tail(self.worker_log, 1).strip()
            raise Died(f"the worker ended with {self.worker.returncode}: {last}\n{tail(self.worker_log)}")
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for name, part in self.stack.parts.items():
            if part.process.pid() is None:
                raise Died(f"{name} died; the end of its log:\n{part.process.log_tail()}")
        try:
            with Connect(self.settings.connect) as connect:
                status = connect.status(self.settings.connect.connector)
        except ScorestreamError as error:
            raise Died(f"{error}\n{self.stack.connect.process.log_tail()}") from error
        if status is not None and status.failures:
            tails = self.stack.connect.process.log_tail()
            raise Died(f"connector {status.name} failed: {'; '.join(status.failures)}\n{tails}")

    def wait_until(self, done: Callable[[], bool], *, what: str, timeout_s: float, every_s: float = 0.2) -> None:
        """Poll until `done`, watching the parts.

        Raises:
            Died: a part died, or the time was over.
        """
        deadline = time.monotonic() + timeout_s
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise Died(
                    f"{what}: not after {timeout_s:.0f} s; the end of the worker's log:\n{tail(self.worker_log)}"
                )
            time.sleep(every_s)

    def _web_port(self) -> int:
        """The stack's web port; a free one when another worker has it."""
        for port in (self.settings.web.port, 0):
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((self.settings.web.host, port))
                return int(probe.getsockname()[1])
        raise Died("no free port for the worker's web pages")

    def _close(self) -> None:
        if self.keep:
            pid = f", the worker is process {self.worker.pid}" if self.worker else ""
            self.say(f"left running as asked{pid}; make down stops the stack")
            return
        self.stop_worker()
        if self.ours:
            self.say("stopping the stack")
            with contextlib.suppress(PartFailed):
                self.stack.down()


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, indented."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            found = file.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        found = ["(no log)"]
    return "\n".join(f"    {line}" for line in found)
