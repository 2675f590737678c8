"""The workers of a drill: `scorestream worker --restart`, so that a worker comes back after every kind of end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import psutil

from testbed.universe import SCORESTREAM, Universe, wait_for

_AGAIN = re.compile(r'msg="process ended, starting it again" cause="?([^"]*?)"? ran_s=')


class Supervised:
    """A supervisor and its worker; `number` names its log."""

    def __init__(self, universe: Universe, number: int) -> None:
        self.log: Path = universe.folder / f"drill-worker-{number}.log"
        with self.log.open("ab") as out:
            self._supervisor = subprocess.Popen(
                [SCORESTREAM, "worker", "--restart"], env=universe.env, stdout=out, stderr=out, start_new_session=True
            )
        self._caused = 0

    def child(self) -> int | None:
        """The worker's own pid."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._supervisor.pid).children():
                return child.pid
        return None

    def kill(self) -> None:
        """SIGKILL the worker; the supervisor starts it again."""
        if self._signal(signal.SIGKILL):
            self._caused += 1

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, *, deadline_s: float = 30) -> int:
        """SIGTERM to the supervisor, which passes it on; returns the exit code."""
        if self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGTERM)
        try:
            return self._supervisor.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            self.end()
            return -signal.SIGKILL

    def end(self) -> None:
        """Make sure that neither process is left."""
        child = self.child()
        if self._supervisor.poll() is None:
            self._supervisor.kill()
        self._supervisor.wait(timeout=10)
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def wait_for_child(self) -> None:
        wait_for("the supervisor has a worker", self.child, deadline_s=30)

    def own_ends(self) -> list[str]:
        """The reasons for the worker's ends without a kill of the drill."""
        causes = _AGAIN.findall(self.log.read_text("utf-8", "replace"))
        caused = self._caused
        left = []
        for cause in causes:
            if "SIGKILL" in cause and caused:
                caused -= 1
            else:
                left.append(cause)
        return left

    def _signal(self, number: signal.Signals) -> bool:
        child = self.child()
        if child is None:
            return False
        os.kill(child, number)
        return True
