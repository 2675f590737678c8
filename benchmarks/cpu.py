"""CPU time of each part between two moments: the cost of one change, regardless of the machine's other work.

Enters: the counters of a part's own processes. Leaves: microseconds for each change. A program that measures or writes
is counted apart and is not part of the cost. The kernel's threads (file system, network) are a part of their own.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import psutil

from testbed.rig import Rig

OWN: Final = "this program"
KERNEL: Final = "kernel"
_KTHREADD: Final = 2  # parent of the kernel's threads


@dataclass(frozen=True, slots=True)
class CpuReading:
    """CPU seconds so far.

    Attributes:
        at: time.perf_counter().
        parts: user and system seconds of each part's processes.
        idle_s: of all processors together, waiting for disks included.
    """

    at: float
    parts: dict[str, float]
    idle_s: float

    @classmethod
    def of(cls, rig: Rig) -> Self:
        """Read the counters of the rig's parts, its worker, this program and the kernel's threads."""
        families = {name: _family(pid) for name, pid in rig.pids().items()}
        families |= {OWN: [psutil.Process(os.getpid())], KERNEL: _kernel_threads()}
        times = psutil.cpu_times()
        return cls(
            time.perf_counter(), {name: _cpu_s(each) for name, each in families.items()}, times.idle + times.iowait
        )

    def cpus_since(self, before: CpuReading) -> dict[str, float]:
        """How many processors each part has taken."""
        took_s = self.at - before.at
        return {name: round((end - before.parts.get(name, 0.0)) / took_s, 2) for name, end in self.parts.items()}

    def us_per_change(self, before: CpuReading, changes: int) -> dict[str, float]:
        """Microseconds of each part for each change; ClickHouse's shards are one part, this program is none."""
        found: dict[str, float] = {}
        for name, end in self.parts.items():
            if name != OWN:
                part = "clickhouse" if name.startswith("clickhouse") else name
                found[part] = found.get(part, 0.0) + (end - before.parts.get(name, 0.0)) * 1e6 / max(changes, 1)
        return {part: round(us, 1) for part, us in found.items()}

    def idle_share(self, before: CpuReading) -> float:
        """Share of all processors that did nothing, 0 to 1."""
        return round((self.idle_s - before.idle_s) / (self.at - before.at) / (psutil.cpu_count() or 1), 3)


def _family(pid: int) -> list[psutil.Process]:
    """A process and its children: Postgres has one for each connection."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _kernel_threads() -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["ppid"]) if each.info["ppid"] == _KTHREADD]


def _cpu_s(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total
