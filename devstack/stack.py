"""The stack as a whole: start the parts that do not run, in parallel, and name those that died.

    stack = Stack(Path(".devstack"))
    stack.up()                      # postgres, kafka, connect, clickhouse-0, clickhouse-1
    os.environ.update(stack.env())
    stack.kill("kafka"); stack.start("kafka")
    stack.clean()

All state is below the folder: data, logs, pid files, ports, passwords, `env`. Two folders are two stacks.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack import environment, oidc
from devstack.parts import security
from devstack.parts.base import NotReady, Part, Site, numbered
from devstack.parts.clickhouse import ClickHouse
from devstack.parts.connect import Connect
from devstack.parts.kafka import Kafka, certified, controllers
from devstack.parts.postgres import Postgres
from devstack.ports import is_free, passwords, ports
from devstack.process import POLL_S, PartFailed, wait_until, write_atomically
from devstack.tls import certificates

KINDS = ("postgres", "kafka", "connect", "clickhouse")
SHARDS = 2


@dataclass(frozen=True, slots=True)
class Status:
    """The present state of one part. `state`: running, died (started by us, and no longer there), stopped."""

    name: str
    state: str
    port: int
    pid: int | None
    memory_mb: float
    log: Path


class Stack:
    """One stack in one folder."""

    def __init__(
        self,
        folder: Path | str = ".devstack",
        *,
        brokers: int | None = None,
        connect_workers: int | None = None,
        secure: bool | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.root = Path(folder).absolute()
        self.say = say
        self.site = self._site({"kafka": brokers, "connect": connect_workers}, secure=secure)
        self.postgres = Postgres("postgres", self.site)
        every: list[Part] = [
            self.postgres,
            *(Kafka(name, self.site, number) for number, name in enumerate(numbered("kafka", self.site.brokers), 1)),
            *(Connect(name, self.site) for name in numbered("connect", self.site.connect_workers)),
            *(ClickHouse(f"clickhouse-{shard}", self.site) for shard in range(self.site.shards)),
        ]
        self.parts = {part.name: part for part in every}

    def up(self, parts: Iterable[str] | None = None) -> None:
        """Start the parts that do not run, wait until each answers, write `env`.

        Raises:
            PartFailed: a part died or did not answer in time.
        """
        names = self._names(parts)
        # All at once: Connect loads its classes while the broker starts, and waits for it by itself. It does not wait
        # for a second broker, which its topics need.
        waves = [names] if self.site.brokers == 1 else _split(names, "connect")
        with self._locked():
            for wave in waves:
                self._bring_all_up([self.parts[name] for name in wave])
            write_atomically(self.root / "env", environment.as_shell(self.env()))

    def down(self, parts: Iterable[str] | None = None) -> None:
        """Stop the parts, the brokers after all others."""
        with self._locked():
            for wave in _split(self._names(parts), "kafka"):
                with ThreadPoolExecutor(len(wave)) as pool:
                    list(pool.map(self.stop, wave))

    def clean(self) -> None:
        """Stop all parts and remove the folder. Files of other origin in it stay."""
        for part in self.parts.values():
            part.process.stop(signal.SIGKILL, timeout_s=5)
        ours = [*self.parts, "run", "log", "state", "tls", "env", "ports.json", "passwords.json", "ports.lock", "lock"]
        for name in ours:
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()

    def env(self) -> dict[str, str]:
        """The settings with which scorestream and its tests reach this stack."""
        return environment.variables(self.site, self.postgres)

    def start(self, name: str) -> None:
        """Start one part if it does not run, and wait until it answers."""
        self._bring_up(self.parts[name], threading.Event())

    def stop(self, name: str) -> None:
        """Stop one part in an orderly way."""
        part = self.parts[name]
        part.process.stop(part.stop_signal, timeout_s=part.stop_timeout_s)

    def kill(self, name: str) -> None:
        """SIGKILL one part and its children."""
        self.parts[name].process.kill()

    def pid(self, name: str) -> int | None:
        """The pid of a running part, else None."""
        return self.parts[name].process.pid()

    def alive(self, name: str) -> bool:
        """True when the part's process runs."""
        return self.pid(name) is not None

    def status(self) -> list[Status]:
        """All parts."""
        return [self._status(part) for part in self.parts.values()]

    def _status(self, part: Part) -> Status:
        pid = part.process.pid()
        state = "running" if pid else "died" if part.process.was_started() else "stopped"
        return Status(part.name, state, part.port, pid, part.process.memory_mb(), part.process.log)

    def _bring_all_up(self, parts: list[Part]) -> None:
        with ThreadPoolExecutor(len(parts)) as pool:
            cancelled = threading.Event()
            tasks = [pool.submit(self._bring_up, part, cancelled) for part in parts]
            faults = [str(fault) for task in tasks if (fault := task.exception()) is not None]
        if faults:
            raise PartFailed("\n".join(faults))

    def _bring_up(self, part: Part, cancelled: threading.Event) -> None:
        begun = time.monotonic()
        try:
            started = False
            if part.process.pid() is None:
                _await_port(part)
                part.prepare()
                part.process.spawn(*part.command())
                started = True
            self._await(part, cancelled)
            part.set_up()
        except BaseException:
            cancelled.set()
            raise
        verb = f"up in {time.monotonic() - begun:.1f} s" if started else "already running"
        pid = part.process.pid()
        self.say(f"{part.name:<13} 127.0.0.1:{part.port}  pid {pid}  {verb}  log {_short(part.process.log)}")

    def _await(self, part: Part, cancelled: threading.Event) -> None:
        deadline = time.monotonic() + part.ready_timeout_s
        while True:
            try:
                part.probe()
                answer = ""
            except NotReady as not_ready:
                answer = str(not_ready)
            if part.process.pid() is None:  # asked even if there is an answer: another program may hold the port
                raise PartFailed(f"{part.name} died; the end of {_short(part.process.log)}:\n{part.process.log_tail()}")
            if not answer:
                return
            if cancelled.is_set():
                raise PartFailed(f"{part.name}: not waited for, because another part failed")
            if time.monotonic() > deadline:
                raise PartFailed(
                    f"{part.name} does not answer after {part.ready_timeout_s:.0f} s ({answer}); "
                    f"the end of {_short(part.process.log)}:\n{part.process.log_tail()}"
                )
            time.sleep(POLL_S)

    def _names(self, parts: Iterable[str] | None) -> list[str]:
        wanted = list(KINDS if parts is None else parts)
        names = []
        for word in wanted:
            matching = [name for name in self.parts if name == word or name.startswith(word + "-")]
            if not matching:
                raise PartFailed(f"no part {word!r}; there are {', '.join(self.parts)}")
            names += matching
        return list(dict.fromkeys(names))

    def _site(self, asked: dict[str, int | None], *, secure: bool | None) -> Site:
        with self._locked("ports.lock"):
            return self._chosen_site(asked, secure=secure)

    def _chosen_site(self, asked: dict[str, int | None], *, secure: bool | None) -> Site:
        kept = ports(self.root / "ports.json", ())
        shards = sum(name.startswith("clickhouse-") for name in kept)
        shards = shards or int(os.environ.get("DEVSTACK_SHARDS", SHARDS))
        brokers = _count("kafka", kept, asked["kafka"], "DEVSTACK_BROKERS")
        workers = _count("connect", kept, asked["connect"], "DEVSTACK_CONNECT_WORKERS")
        names = ["postgres", *numbered("kafka", brokers), *controllers(brokers), *numbered("connect", workers)]
        names += [*(f"clickhouse-{shard}" for shard in range(shards)), "web"]
        made_secure = "kafka-mtls" in kept
        if kept and secure is not None and secure != made_secure:
            raise PartFailed(f"the stack was made {'secured' if made_secure else 'plain'}; `clean` removes it")
        secure = made_secure or (not kept and bool(secure))
        if secure:
            names += certified(brokers)
        secrets = passwords(
            self.root / "passwords.json", (*environment.PASSWORDS, *(environment.SECURED if secure else ()))
        )
        if secure:
            oidc.prepare(self.root / "tls")
        return Site(
            root=self.root,
            ports=ports(self.root / "ports.json", names),
            passwords=secrets,
            tls=certificates(self.root / "tls", secrets[security.STORES]) if secure else None,
            shards=shards,
            brokers=brokers,
            connect_workers=workers,
        )

    @contextmanager
    def _locked(self, name: str = "lock") -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _count(kind: str, kept: Iterable[str], asked: int | None, variable: str) -> int:
    """How many parts of a kind the stack has: as when it was made, else as asked, else as the variable says, else 1."""
    made = sum(re.fullmatch(rf"{kind}(-\d+)?", name) is not None for name in kept)
    if made and asked and made != asked:
        raise PartFailed(f"{kind}: the stack was made with {made}, not {asked}; `clean` removes it")
    return made or asked or int(os.environ.get(variable, "1"))


def _split(names: list[str], last: str) -> list[list[str]]:
    """The parts of the kind `last` after the others; no empty list."""
    after = [name for name in names if name == last or name.startswith(f"{last}-")]
    return [wave for wave in ([name for name in names if name not in after], after) if wave]


def _await_port(part: Part) -> None:
    """Wait for a free port: another program's answer would pass for the part's.

    A part that was just killed may need a moment to release it.
    """
    if not wait_until(lambda: is_free(part.port), timeout_s=3):
        raise PartFailed(f"{part.name}: port {part.port} is in use by another program")


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
