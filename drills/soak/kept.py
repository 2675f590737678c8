"""The processes of a soak: two workers, and commands that are started again after a kill."""

from __future__ import annotations

import contextlib
import urllib.request
from pathlib import Path
from typing import Self

import psutil
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from devstack.ports import ports
from drills.workers import Supervised
from testbed.replays import Command
from testbed.universe import Universe

WORKERS = 2


class Kept:
    """A command with a web server; the soak starts it again after a kill.

    Args:
        name: of its port, which stays the same.
        variable: the setting of that port.
    """

    def __init__(self, universe: Universe, name: str, variable: str, *command: str) -> None:
        self._universe = universe
        self._arguments = command
        self._port = ports(Path(universe.folder) / "ports.json", (name,))[name]
        self._env = {variable: str(self._port)}
        self.own_ends = 0  # that no kill of the soak caused
        self._start()

    def process(self) -> psutil.Process:
        """Its process; a command that ended by itself is started again, and counted."""
        if self._command.process.poll() is not None:
            self.own_ends += 1
            self._start()
        return psutil.Process(self._command.process.pid)

    def kill(self) -> None:
        """SIGKILL, and a start."""
        self._command.kill_all()
        self._start()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._command.stop()

    def end(self) -> None:
        """Make sure that it does not run."""
        if self._command.process.poll() is None:
            self._command.kill_all()

    def metrics(self) -> list[Sample]:
        """What it serves at /metrics; nothing while it does not answer."""
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
            return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return []

    def _start(self) -> None:
        self._command = Command(self._universe, *self._arguments, **self._env)


class Processes:
    """Workers, monitor and verify --watch, while a block runs.

    Args:
        verify_s: seconds between two comparisons.
    """

    def __init__(self, universe: Universe, *, verify_s: float) -> None:
        self.workers = {f"worker-{number}": Supervised(universe, number) for number in range(1, WORKERS + 1)}
        watch = ("verify", "--watch", f"{verify_s:.0f}s")
        self.kept = {
            "monitor": Kept(universe, "monitor", "SCORESTREAM_MONITOR_PORT", "monitor"),
            "verify": Kept(universe, "verify", "SCORESTREAM_WEB_PORT", *watch),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.workers.values(), *self.kept.values()):
            each.end()

    def stop(self) -> list[int]:
        """SIGTERM to all; returns the exit codes."""
        return [each.stop() for each in (*self.workers.values(), *self.kept.values())]

    def own_ends(self) -> list[str]:
        """The ends that no kill caused, a line for each."""
        ends = [f"{name}: {cause}" for name, worker in self.workers.items() for cause in worker.own_ends()]
        return ends + [f"{name}: {kept.own_ends} times" for name, kept in self.kept.items() if kept.own_ends]


def total(samples: list[Sample], name: str, **labels: str) -> float | None:
    """The sum of a metric over its series with these labels; None without any."""
    found = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
    return sum(found) if found else None
