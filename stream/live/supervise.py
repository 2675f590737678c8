"""The supervisor of `scorestream worker --restart`: starts the worker again when it ends other than asked to.

A parent process that knows nothing of the worker but its exit code: 0 = it ended in good order, and so does this; 2 =
the configuration is wrong, and trying again would not mend it; anything else, also a signal that killed it = start
again, after a wait that doubles until the worker has run for a while. SIGTERM and SIGINT are passed on.
Under systemd or Kubernetes, which do the same, it is not needed.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from stream.errors import ConfigError

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
SETTLED_S: Final = 60.0  # a worker that ran for so long starts over with the first wait


def next_wait_s(last_s: float, ran_s: float) -> float:
    """How long to wait before the next start: `last_s` is the wait before the start that ended after `ran_s`."""
    if ran_s >= SETTLED_S or not last_s:
        return FIRST_WAIT_S
    return min(2 * last_s, LONGEST_WAIT_S)


def describe(code: int) -> str:
    """An exit code of subprocess in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


class Supervisor:
    """Runs one command again and again.

    Args:
        sleep: waits for so many seconds, or until `stopping` is set.
    """

    def __init__(self, command: Sequence[str], *, sleep: Callable[[float], object] | None = None) -> None:
        self._command = list(command)
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._child: subprocess.Popen[bytes] | None = None
        self.restarts = 0

    def run(self) -> int:
        """Until the command ends with 0 or 2, or a signal asks for the end; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        wait_s = 0.0
        while True:
            started = time.monotonic()
            child = self._child = subprocess.Popen(self._command)  # noqa: S603  the command is this program's own
            if self._stopping.is_set():  # the signal came while the child was being made
                child.terminate()
            code = child.wait()
            self._child = None
            ran_s = time.monotonic() - started
            if code == 0 or self._stopping.is_set():
                return code if code >= 0 else 1
            if code == ConfigError.exit_code:
                log.error("worker ended, not started again", extra={"cause": describe(code), "ran_s": round(ran_s, 1)})
                return code
            self.restarts += 1
            wait_s = next_wait_s(wait_s, ran_s)
            log.warning(
                "worker ended, starting it again",
                extra={"cause": describe(code), "ran_s": round(ran_s, 1), "wait_s": wait_s, "restart": self.restarts},
            )
            self._sleep(wait_s)
            if self._stopping.is_set():
                return 0

    def stop(self, number: int = signal.SIGTERM, _frame: FrameType | None = None) -> None:
        """Pass the signal on, and start nothing again."""
        self._stopping.set()
        if (child := self._child) is not None:
            child.send_signal(number)


def run_worker(log_level: str | None = None) -> int:
    """`scorestream worker` under a supervisor; returns the exit code."""
    level = ["--log-level", log_level] if log_level else []
    return Supervisor([sys.executable, "-m", "stream.cli", *level, "worker"]).run()
