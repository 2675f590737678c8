"""A stack for the runbooks: a universe with rows, a worker and a monitor, and a shell that runs what a page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import urllib3

from devstack.parts.kafka import jvm_command
from devstack.stack import Stack
from stream.web.runbook import CLICKHOUSE, CONSOLE, Line
from testbed import oracle
from testbed.replays import Command, Running
from testbed.universe import SCORESTREAM, Universe, Worker, wait_for
from testbed.workload import Workload
from tests.site import free_port

# They run until a signal ends them.
_GOES_ON = re.compile(r"scorestream (worker|monitor|replay (resume|join))\b")


_LASTING = {"dead-letters"}  # it is found for an hour


@dataclass
class Stage:
    """A universe and what runs in it.

    Attributes:
        words: what stands for NAME, ID, OFFSET, PID on a page.
        running: what the lines of a page have started.
        replays, locks: what the states have left open.
    """

    universe: Universe
    stack: Stack
    workload: Workload
    worker: Worker
    monitor: Command
    words: dict[str, str] = field(default_factory=dict)
    running: list[tuple[Line, Command]] = field(default_factory=list)
    replays: list[Running] = field(default_factory=list)
    locks: list[psycopg.Connection[Any]] = field(default_factory=list)

    @classmethod
    def made(cls, universe: Universe, stack: Stack, connection: Any) -> Stage:
        universe.env |= {
            "SCORESTREAM_WEB_PORT": str(free_port()),
            "SCORESTREAM_MONITOR_PORT": str(free_port()),
            "SCORESTREAM_KAFKA_SESSION_TIMEOUT_S": "8",  # the group waits this long for a killed worker
        }
        url = f"http://127.0.0.1:{universe.env['SCORESTREAM_WEB_PORT']}"
        universe.env["SCORESTREAM_MONITOR_PROCESSES"] = url
        universe.set_up()
        workload = Workload(connection, seed=71)
        workload.add(40)
        return cls(universe, stack, workload, universe.start_worker(), Command(universe, "monitor"))

    def close(self) -> None:
        """End what runs."""
        for command in (*(each for _, each in self.running), *self.replays):
            command.__exit__()
        self.worker.kill()
        self.monitor.__exit__()
        self.workload.sql.close()

    def heal(self) -> None:
        """What every page must have left: all parts run, a worker and a monitor run, both stores are equal."""
        self.stack.up()
        if not self.worker.alive():
            self.worker = self.universe.start_worker()
        if self.monitor.process.poll() is not None:
            self.monitor = Command(self.universe, "monitor")
        self.universe.wait_until_equal(deadline_s=120)
        try:
            wait_for("no finding is left", lambda: not self.findings() - _LASTING, deadline_s=60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.state().get('findings')}") from error

    def rescue(self) -> None:
        """After a page that failed: make the path whole, so that the next page has its own state."""
        for _, command in self.running:
            command.__exit__()
        self.running.clear()
        self.stack.up()
        self.connect_again()
        for words in (("topics", "apply"), ("recover", "--yes", "--dsn", self.universe.url)):
            self.universe.call(*words)

    def connect_again(self) -> None:
        """The workload's connection, after Postgres was away."""
        self.workload.sql.close()
        self.workload.sql = self.universe.postgres()

    def state(self) -> dict[str, Any]:
        """What the monitor says; empty while it does not answer."""
        try:
            url = f"http://127.0.0.1:{self.universe.env['SCORESTREAM_MONITOR_PORT']}/api/state"
            found: dict[str, Any] = urllib3.request("GET", url, retries=False, timeout=5).json()
        except urllib3.exceptions.HTTPError:
            return {}
        return found

    def findings(self) -> set[str]:
        """The monitor's findings; `monitor-absent` while it does not answer."""
        found = self.state()
        return {each["id"] for each in found["findings"]} if found else {"monitor-absent"}

    def sql(self, statement: str) -> None:
        with self.universe.postgres() as connection:
            connection.execute(statement)

    def change(self, count: int = 30) -> None:
        for _ in range(count):
            self.workload.change()

    def run(self, line: Line) -> None:
        """Run a line of a page where it belongs; it ends and shows what the page says."""
        text = self._here(line.text)
        if line.language == CONSOLE and _GOES_ON.match(text):
            command = Command(self.universe, *text.split()[1:])
            self.running.append((line, command))
            wait_for("it has begun", lambda: command.log.stat().st_size > 0 or command.process.poll() is not None)
            return
        code, printed = self._typed(text) if line.language == CONSOLE else (0, self._asked(text, line.language))
        assert code == line.code, f"{text}: exit code {code}, not {line.code}\n{printed}"
        assert line.shows in printed, f"{text}: does not show {line.shows!r}\n{printed}"
        if text == f"kill {self.worker.pid}":  # it finishes its batch first
            wait_for("the worker ends", lambda: not self.worker.alive(), deadline_s=30)

    def parse(self, line: Line) -> None:
        """ClickHouse takes a statement apart, and does not run it."""
        text = self._here(line.text).rstrip(";").replace("'", "''")
        assert self._asked(f"SELECT formatQuery('{text}')", CLICKHOUSE)

    def end_running(self) -> None:
        """What the page started ends in good order."""
        while self.running:
            line, command = self.running.pop()
            if "replay" not in line.text:  # the replay was cancelled
                command.process.terminate()
            assert command.wait(60) == 0, f"{line.text}\n{command.tail()}"

    def _here(self, text: str) -> str:
        """The line with this universe's names for the default ones, and with the words of the state."""
        name = self.universe.name
        for default, here in (
            ("slot_name = 'scorestream'", f"slot_name = '{name}'"),
            ("database = 'scorestream'", f"database = '{name}'"),
            (" scorestream.scorecard", f" {name}.scorecard"),
        ):
            text = text.replace(default, here)
        for word, value in self.words.items():
            text = re.sub(rf"\b{word}\b", value, text)
        return text

    def _typed(self, command: str) -> tuple[int, str]:
        """A shell's exit code and output; questions are answered with yes."""
        env = self.universe.env | {"PATH": f"{SCORESTREAM.parent}:{self._kafka_tools()}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", command], env=env, input="y\n" * 3, capture_output=True, text=True, timeout=180, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def _kafka_tools(self) -> Path:
        """A folder with kafka-configs.sh, as a Kafka distribution has it: the class of the broker's own jars."""
        folder = self.universe.folder / "kafka"
        tool = folder / "kafka-configs.sh"
        if not tool.exists():
            folder.mkdir()
            java = shlex.join(jvm_command("kafka.admin.ConfigCommand", heap_mb=128, folder=folder))
            tool.write_text(f'#!/bin/sh\nexec {java} "$@"\n', "utf-8")
            tool.chmod(0o755)
        return folder

    def _asked(self, query: str, language: str) -> str:
        """The rows of a query, in words."""
        if language == CLICKHOUSE:
            client = oracle.client_of(
                self.universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")[0], self.universe.env
            )
            try:
                return str(client.query(query.rstrip(";")).result_rows or "no row")
            finally:
                client.close()
        with self.universe.postgres() as connection:
            cursor = connection.execute(query.encode())
            return str((cursor.fetchall() or "no row") if cursor.description else cursor.statusmessage)
