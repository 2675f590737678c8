"""The stack's interface to each part."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from devstack.process import Process
from devstack.tls import Tls


class NotReady(Exception):
    """The part does not answer yet; the text has the reason."""


def numbered(kind: str, count: int) -> list[str]:
    """Names of the parts of a kind that is one by default: kafka, kafka-2, kafka-3."""
    return [kind, *(f"{kind}-{number}" for number in range(2, count + 1))]


@dataclass(frozen=True)
class Site:
    """Where a stack lives: folder, ports and passwords.

    Attributes:
        tls: the certificates of a secured stack; None: everything is plain, from loopback only.
    """

    root: Path
    ports: dict[str, int]
    passwords: dict[str, str]
    shards: int
    brokers: int = 1
    connect_workers: int = 1
    tls: Tls | None = None

    @property
    def bootstrap_servers(self) -> str:
        """All brokers."""
        return ",".join(f"127.0.0.1:{self.ports[name]}" for name in numbered("kafka", self.brokers))

    @property
    def scheme(self) -> str:
        """Of the web interfaces."""
        return "http" if self.tls is None else "https"


class Part:
    """One process of the stack. `data` is the part's folder and is removed by `clean`."""

    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 20
    ready_timeout_s: ClassVar[float] = 120

    def __init__(self, name: str, site: Site) -> None:
        self.name = name
        self.site = site

    @property
    def data(self) -> Path:
        return self.site.root / self.name

    @property
    def port(self) -> int:
        return self.site.ports[self.name]

    @cached_property
    def process(self) -> Process:
        return Process(
            name=self.name,
            pid_file=self.site.root / "run" / f"{self.name}.pid",
            log=self.site.root / "log" / f"{self.name}.log",
        )

    def prepare(self) -> None:
        """Write configuration, create the data folder; called before every start."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        """The program with its arguments, and its environment."""
        raise NotImplementedError

    def probe(self) -> None:
        """Return when the part answers a client.

        Raises:
            NotReady: it does not yet.
        """
        raise NotImplementedError

    def set_up(self) -> None:
        """Create databases and roles, which need the part to answer first. `up` calls it every time; idempotent."""
