"""Child processes of this program: start them, watch them, start them again, end them together.

Enters: a command line, and rules for an exit code. Leaves: the processes' exit codes. It knows nothing of their work.
`worker --restart` keeps one process running until a signal ends it. A replay keeps several until its work is done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from stream.errors import ConfigError

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
SETTLED_S: Final = 60.0  # after a process ran this long, the next wait is the first one again


def own_command(*arguments: str, log_level: str | None = None) -> list[str]:
    """The command line that runs this program with these arguments."""
    level = ["--log-level", log_level] if log_level else []
    return [sys.executable, "-m", "stream.cli", *level, *arguments]


def describe(code: int) -> str:
    """Describe an exit code of subprocess in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def next_wait_s(last_s: float, ran_s: float) -> float:
    """Seconds until the next start. `last_s` is the wait before the start of the process that ended after `ran_s`."""
    if ran_s >= SETTLED_S or not last_s:
        return FIRST_WAIT_S
    return min(2 * last_s, LONGEST_WAIT_S)


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended: its id, its exit code (negative: the signal), and how long it ran in seconds."""

    pid: int
    code: int
    ran_s: float


class Children:
    """Processes of one command. For one thread.

    Args:
        nice: niceness of the processes on their host; None = that of this process.
    """

    def __init__(self, command: Sequence[str], *, nice: int | None = None) -> None:
        self._command = list(command)
        self._nice = nice
        self._running: dict[subprocess.Popen[bytes], float] = {}

    def spawn(self) -> int:
        """Start another process; returns its id."""
        child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603  this program's own command
        self._running[child] = time.monotonic()
        if self._nice is not None:
            with contextlib.suppress(OSError):  # set before it starts, so that its start-up yields to live, too
                least = os.getpriority(os.PRIO_PROCESS, 0)
                os.setpriority(os.PRIO_PROCESS, child.pid, max(self._nice, least))
        return child.pid

    def left(self) -> bool:
        """Whether a process still runs, or has ended since the last `ended`."""
        return bool(self._running)

    def ended(self) -> list[Ended]:
        """Processes that ended since the last call."""
        now = time.monotonic()
        gone = [child for child in self._running if child.poll() is not None]
        return [Ended(child.pid, child.returncode, now - self._running.pop(child)) for child in gone]

    def send(self, number: int) -> None:
        """Send a signal to all running processes."""
        for child in self._running:
            if child.poll() is None:
                child.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all processes have ended; False when the time is over first."""
        try:
            for child in self._running:
                child.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True


class Supervisor:
    """Keeps one process of a command running: starts it again when it ends without being asked to.

    Exit code 0 means that the process ended in good order; then the supervisor ends, too. Exit code 2 means a wrong
    configuration, which another start would not correct. After any other code, or a signal, the supervisor waits and
    starts the process again. The wait doubles until a process has run for a while. SIGTERM and SIGINT are passed on.

    Args:
        sleep: waits this many seconds, or until the supervisor is stopped.
    """

    def __init__(self, command: Sequence[str], *, sleep: Callable[[float], object] | None = None) -> None:
        self._children = Children(command)
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self.restarts = 0

    def run(self) -> int:
        """Run until the command ends with 0 or 2, or until a signal arrives; returns the exit code."""
        with stop_signals(self.stop):
            return self._run()

    def _run(self) -> int:
        wait_s = 0.0
        while True:
            self._children.spawn()
            if self._stopping.is_set():  # the signal came while the process was starting
                self._children.send(signal.SIGTERM)
            self._children.wait()
            (ended,) = self._children.ended()
            if ended.code == 0 or self._stopping.is_set():
                return ended.code if ended.code >= 0 else 1
            fields = {"cause": describe(ended.code), "ran_s": round(ended.ran_s, 1)}
            if ended.code == ConfigError.exit_code:
                log.error("process ended, not started again", extra=fields)
                return ended.code
            self.restarts += 1
            wait_s = next_wait_s(wait_s, ended.ran_s)
            log.warning("process ended, starting it again", extra=fields | {"wait_s": wait_s, "restart": self.restarts})
            self._sleep(wait_s)
            if self._stopping.is_set():
                return 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Pass the signal on, and start no other process."""
        self._stopping.set()
        self._children.send(number)


@contextmanager
def stop_signals(stop: Callable[[int], object]) -> Iterator[None]:
    """Call `stop` with the number of each SIGTERM and SIGINT. Outside the main thread this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda received, _frame: stop(received)) for number in numbers}
    try:
        yield
    finally:
        for number, held in before.items():
            signal.signal(number, held)


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set. Outside the main thread nothing sets it."""
    stopping = threading.Event()
    with stop_signals(lambda _: stopping.set()):
        yield stopping
