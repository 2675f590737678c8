"""Postgres servers beside a stack's own, at one address: a primary with a standby that takes over, or a restored one.

The address stays, as with a virtual IP or a DNS name. The servers have the stack's passwords, so that its Connect
worker reaches them. The ordinary stack neither starts nor pays for any of this.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from devstack.parts.base import NotReady, Part, Site
from devstack.parts.postgres import CDC_ROLE, READER_ROLE, SUPERUSER, Postgres, as_server_user, bin_dir
from devstack.parts.standby import SLOT, Standby
from devstack.ports import ports
from devstack.stack import Stack
from testbed.universe import wait_for

_HIGH = "000000010000000A00000001"  # the segment at A/1000000, so that a new cluster's LSNs are far below


class Servers:
    """`with`-able. `primary` is the server at the address; `standby` follows it once `follow` was called."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._folder = folder
        names = ("primary", "standby")
        site = Site(folder, ports(folder / "ports.json", names), stack.site.passwords, stack.site.shards)
        self._site = site
        self.primary = Postgres("primary", site)
        self.standby: Standby | None = None
        self._away = 0

    def __enter__(self) -> Self:
        self.primary.prepare()
        reset = [str(bin_dir() / "pg_resetwal"), "-l", _HIGH, "-D", str(self._folder / "primary" / "data")]
        subprocess.run([*as_server_user(), *reset], check=True, capture_output=True, cwd="/")
        _start(self.primary)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for part in (self.primary, self.standby):
            if part is not None:
                part.process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def env(self) -> dict[str, str]:
        """What differs from the stack's settings."""
        return {
            "DEVSTACK_POSTGRES_URL": self.primary.url(),
            "SCORESTREAM_POSTGRES_DSN": self.primary.url(READER_ROLE, password=False),
            "SCORESTREAM_BACKFILL_DSN": self.primary.url(CDC_ROLE, password=False),
        }

    def follow(self, *, synchronous: bool = False, sync_slots: bool = False) -> None:
        """Make a standby and wait until it streams.

        Args:
            synchronous: a commit waits for the standby.
            sync_slots: the standby copies failover slots, and the connector gets nothing that the standby lacks.
        """
        self.standby = Standby("standby", self._site, self.primary, sync_slots=sync_slots)
        _start(self.standby)
        with self.asking() as connection:
            wait_for("the standby streams", lambda: _value(connection, "SELECT count(*) FROM pg_stat_replication"))
            if synchronous:
                # By name: `*` would take the connector for a standby, and its heartbeat would wait for itself.
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'walreceiver'")
            if sync_slots:
                connection.execute(f"ALTER SYSTEM SET synchronized_standby_slots = '{SLOT}'")
            connection.execute("SELECT pg_reload_conf()")

    def cut_standby(self) -> None:
        """What is committed from now on never reaches the standby."""
        assert self.standby is not None
        self.standby.process.stop(self.standby.stop_signal, timeout_s=20)

    def await_slot(self, name: str) -> None:
        """Wait until the standby has the slot, and would keep it when promoted."""
        assert self.standby is not None
        query = "SELECT synced AND NOT temporary FROM pg_replication_slots WHERE slot_name = %s"
        with psycopg.connect(self.standby.url(database="postgres"), autocommit=True) as connection:
            wait_for("the slot is synchronised", lambda: _value(connection, query, name), deadline_s=90)

    def fail_over(self) -> None:
        """Kill the primary; the standby takes its address and is promoted."""
        assert self.standby is not None
        self.primary.process.kill()
        self.standby.process.stop(self.standby.stop_signal, timeout_s=20)
        self._put_in_place(self._folder / "standby" / "data")
        self.standby = None
        _start(self.primary, set_up=False)
        with self.asking() as connection:
            connection.execute("SELECT pg_promote()")
            wait_for("the standby is promoted", lambda: not _value(connection, "SELECT pg_is_in_recovery()"))

    def dump(self, database: str, file: Path) -> None:
        """A dump of one database, as pg_dump makes it."""
        done = subprocess.run(
            [str(bin_dir() / "pg_dump"), "-f", str(file), self.primary.url(database=database)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def restore(self, database: str, file: Path) -> None:
        """Kill the server; a new cluster takes its address and gets the dump."""
        self.primary.process.kill()
        self._put_in_place(None)
        (self._folder / "primary" / "applied.json").unlink(missing_ok=True)
        _start(self.primary)
        with self.asking() as connection:
            connection.execute(f"CREATE DATABASE {database}")
        url = self.primary.url(database=database)
        done = subprocess.run(
            [str(bin_dir() / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-f", str(file), url],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def asking(self) -> psycopg.Connection[Any]:
        """A superuser's connection to the primary, autocommit."""
        return psycopg.connect(self.primary.url(SUPERUSER, database="postgres"), autocommit=True)

    def _put_in_place(self, data: Path | None) -> None:
        self._away += 1
        here = self._folder / "primary" / "data"
        here.rename(here.with_name(f"away-{self._away}"))
        if data is not None:
            data.rename(here)


def _start(part: Part, *, set_up: bool = True) -> None:
    part.prepare()
    part.process.spawn(*part.command())

    def answers() -> bool:
        try:
            part.probe()
        except NotReady:
            return False
        return True

    wait_for(f"{part.name} answers", answers, deadline_s=60)
    if set_up:
        part.set_up()


def _value(connection: psycopg.Connection[Any], query: str, *values: object) -> Any:
    row = connection.execute(query, values or None).fetchone()
    return None if row is None else row[0]
