"""Processes that outlive the command that starts them: spawned in a session of their own, known by a pid file.

A pid file holds the pid and the creation time of its process. After a reboot or a crash another program may have that
pid. It is never taken for ours, and never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_S = 0.05


class PartFailed(Exception):
    """A part does not start, does not answer, or died; the text names it and shows the tail of its log."""


@dataclass(frozen=True, slots=True)
class Process:
    """One part's process, or the place for it: the pid file need not exist."""

    name: str
    pid_file: Path
    log: Path

    def spawn(self, command: Sequence[str], env: Mapping[str, str]) -> int:
        """Start `command` detached, its output appended to the log; returns the pid."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # posix_spawn and not Popen: a Popen object complains when it is collected before its process has ended
        pid = os.posix_spawn(
            command[0],
            list(command),
            dict(env),
            setsid=True,
            setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGHUP],
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        write_atomically(self.pid_file, json.dumps({"pid": pid, "created": psutil.Process(pid).create_time()}))
        return pid

    def pid(self) -> int | None:
        """The pid if our process is alive, else None."""
        try:
            known = json.loads(self.pid_file.read_text("utf-8"))
            _reap(known["pid"])
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["created"]) > 1 or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            return None
        return process.pid

    def was_started(self) -> bool:
        """Whether a pid file exists: the part was started, and no command has stopped it since."""
        return self.pid_file.exists()

    def stop(self, how: signal.Signals, *, timeout_s: float) -> None:
        """Send `how`, wait, and SIGKILL the rest of the process and its children after `timeout_s`."""
        if (pid := self.pid()) is not None:
            family = _family(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            wait_until(lambda: self.pid() is None, timeout_s=timeout_s)
            _kill(family)
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL, for drills. The pid file stays, so that `status` says that the part died."""
        if (pid := self.pid()) is not None:
            _kill(_family(pid))

    def family(self) -> list[psutil.Process]:
        """The process and its children; none when it does not run."""
        return [] if (pid := self.pid()) is None else _family(pid)

    def memory_mb(self) -> float:
        """Memory of the process and its children in MB (PSS: shared memory counts once)."""
        total = 0.0
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss) / 1e6
        return total

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the log, indented."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 16_384))
                tail = file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            tail = ["(no log)"]
        return "\n".join(f"    {line}" for line in tail)


def wait_until(ready: Callable[[], bool], *, timeout_s: float) -> bool:
    """Poll; False when `ready` has not become true in time."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def write_atomically(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Readers see the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(family: list[psutil.Process]) -> None:
    """SIGKILL, and wait until each has released its resources: a child may outlive its parent for a moment."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # psutil checks the creation time before it signals
    while any(_runs(process) for process in family):
        time.sleep(POLL_S)


def _runs(process: psutil.Process) -> bool:
    _reap(process.pid)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
