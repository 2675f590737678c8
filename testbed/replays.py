"""Shared by the tests of replay, rewind and cutover."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Self
from unittest import mock

from stream.config import Settings, load
from stream.errors import UsageError
from stream.replay import control as replay
from stream.wiring import broker
from testbed import oracle
from testbed.universe import SCORESTREAM, Universe, wait_for


def wait_until_published(universe: Universe, *, deadline_s: float = 60) -> None:
    """Wait until Kafka has all that is committed in Postgres now."""
    with universe.postgres() as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None

        def passed() -> bool:
            found = connection.execute(
                "SELECT confirmed_flush_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s",
                (row[0], universe.name),
            ).fetchone()
            return bool(found and found[0])

        wait_for("the connector has published everything", passed, deadline_s=deadline_s)


def settings_of(universe: Universe) -> Settings:
    """The settings of the universe's commands."""
    with mock.patch.dict(os.environ, universe.env, clear=True):
        return load()


def facts(universe: Universe, name: str) -> dict[str, Any]:
    """The output of `scorestream replay status NAME --json`, once its processes have started."""
    with broker(settings_of(universe)) as kafka:
        (found,) = replay.facts(kafka, name)
    return found


def progress(universe: Universe, name: str) -> int:
    """Messages that a replay has committed; 0 before there is one."""
    try:
        return int(facts(universe, name)["done"])
    except UsageError:
        return 0


def call(universe: Universe, *command: str, **env: str | None) -> tuple[int, str, str]:
    """Run a command line in this process: exit code, stdout, stderr."""
    return universe.call(*command, **env)


def done(universe: Universe, *command: str) -> str:
    """The output of a command that must succeed; run in this process."""
    return universe.done(*command)


def refused(universe: Universe, *command: str, code: int = 2, **env: str | None) -> str:
    """The one line of a command that must be refused; run in this process."""
    ended, printed, said = call(universe, *command, **env)
    assert ended == code, (command, ended, printed, said)
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line


def differences(universe: Universe, database: str) -> list[str]:
    """How a database differs from the defining query over Postgres."""
    with universe.postgres() as connection:
        return oracle.differences(oracle.expected(connection), oracle.visible(universe.env, database))


def drop(universe: Universe, database: str) -> None:
    """Remove a shadow."""
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = oracle.client_of(url, universe.env)
        client.command(f"DROP DATABASE IF EXISTS {database}")
        client.close()


class Command:
    """A `scorestream` command that runs in a session of its own; all its processes can be killed."""

    def __init__(self, universe: Universe, *command: str, **env: str) -> None:
        universe._workers += 1
        self.log = Path(universe.folder) / f"{command[0]}-{universe._workers}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [SCORESTREAM, *command],
                env=universe.env | env,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill_all()

    def wait(self, timeout_s: float = 120) -> int:
        return self.process.wait(timeout=timeout_s)

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM to the command; returns the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=timeout_s)

    def kill_all(self) -> None:
        """SIGKILL to the command and all its processes at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-4000:]


class Running(Command):
    """A `scorestream replay` command that runs."""

    def __init__(self, universe: Universe, *command: str, **env: str) -> None:
        super().__init__(universe, "replay", *command, **env)
