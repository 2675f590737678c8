"""A world of its own on the shared stack: database, connector, slot, topics, group and ClickHouse database."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from confluent_kafka.admin import AdminClient

from stream import cli, logs
from testbed import oracle

ROOT = Path(__file__).parent.parent
SCORESTREAM = Path(sys.executable).parent / "scorestream"


def wait_for(what: str, ready: Callable[[], Any], *, deadline_s: float = 60, every_s: float = 0.1) -> Any:
    """Poll until `ready` returns a true value. The error has its last answer."""
    end = time.monotonic() + deadline_s
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}; last answer {answer!r}")
        threading.Event().wait(every_s)


class Universe:
    """Made from the stack's environment; `close` removes all of it."""

    def __init__(self, stack_env: dict[str, str], folder: Path, *, partitions: int = 4) -> None:
        self.name = "t" + uuid4().hex[:10]
        self.folder = folder
        admin = stack_env["DEVSTACK_POSTGRES_URL"]
        self._admin_url = admin
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name}")
        self.url = _with_database(admin, self.name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            for file in sorted((ROOT / "connectors" / "source").glob("*.sql")):
                connection.execute(file.read_text("utf-8"))
        config = json.loads((ROOT / "stream" / "connect" / "scorestream-source.json").read_text("utf-8"))
        config["config"]["database.dbname"] = self.name
        source = urlsplit(admin)  # of the stack's own server, or of one beside it
        config["config"] |= {"database.hostname": source.hostname, "database.port": str(source.port)}
        self.connector_file = folder / "connector.json"
        self.connector_file.write_text(json.dumps(config), "utf-8")
        self.env = {
            **os.environ,
            **stack_env,
            "SCORESTREAM_POSTGRES_DSN": _with_database(stack_env["SCORESTREAM_POSTGRES_DSN"], self.name),
            "SCORESTREAM_BACKFILL_DSN": _with_database(stack_env["SCORESTREAM_BACKFILL_DSN"], self.name),
            "SCORESTREAM_POSTGRES_SLOT": self.name,
            "SCORESTREAM_KAFKA_TOPIC_PREFIX": self.name,
            "SCORESTREAM_KAFKA_GROUP": f"{self.name}-live",
            "SCORESTREAM_KAFKA_PARTITIONS": str(partitions),
            "SCORESTREAM_CLICKHOUSE_DATABASE": self.name,
            "SCORESTREAM_CONNECT_CONNECTOR": self.name,
            "SCORESTREAM_CONNECT_CONFIG": str(self.connector_file),
            "SCORESTREAM_STATE_DIR": str(folder / "state"),
            "SCORESTREAM_WEB_PORT": "0",
        }
        self._workers = 0

    def run(
        self, *command: str, check: bool = True, timeout_s: float = 120, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `scorestream` and return its output."""
        done = subprocess.run(
            [SCORESTREAM, *command], env=self.env | env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"scorestream {' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def call(self, *command: str, **env: str | None) -> tuple[int, str, str]:
        """Run a command line in this process; as a process of its own it takes half a second to start.

        Args:
            env: replaces the universe's variables; None = not set.

        Returns:
            The exit code, stdout, stderr.
        """
        whole = {name: value for name, value in (self.env | env).items() if value is not None}
        with (
            mock.patch.dict(os.environ, whole, clear=True),
            mock.patch.object(logs, "configure"),
            contextlib.redirect_stderr(io.StringIO()) as said,
            contextlib.redirect_stdout(io.StringIO()) as printed,
        ):
            code = cli.run(list(command))
        return code, printed.getvalue(), said.getvalue()

    def done(self, *command: str) -> str:
        """The output of a command that must succeed; run in this process."""
        code, printed, said = self.call(*command)
        assert code == 0, (command, code, printed, said)
        return printed

    def set_up(self) -> None:
        """Schema, topics, connector: everything but a worker. Later commits come as changes."""
        self.done("schema", "apply")
        self.done("connectors", "apply", "--no-wait")
        with self.postgres() as connection:
            wait_for("the connector streams", lambda: self._slot_is_active(connection))

    def postgres(self) -> psycopg.Connection[Any]:
        """A superuser's connection to this test's database, autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def start_worker(self, **env: str) -> Worker:
        """A live worker as a process of its own."""
        self._workers += 1
        log = self.folder / f"worker-{self._workers}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([SCORESTREAM, "worker"], env=self.env | env, stdout=out, stderr=out)
        return Worker(process, log)

    @contextmanager
    def worker(self, **env: str) -> Iterator[Worker]:
        """A live worker for the length of a block; it must end with exit code 0."""
        worker = self.start_worker(**env)
        try:
            yield worker
        except BaseException:
            worker.kill()
            print(worker.log_tail())
            raise
        wait_for("the worker handles signals", lambda: worker.log.stat().st_size > 0 or not worker.alive())
        assert worker.stop() == 0, worker.log_tail()

    def differences(self) -> list[str]:
        """How ClickHouse differs from the defining query over Postgres."""
        with self.postgres() as connection:
            want = oracle.expected(connection)
        return oracle.differences(want, oracle.visible(self.env, self.name))

    def wait_until_equal(self, *, deadline_s: float = 60) -> None:
        """Poll until ClickHouse is equal to Postgres."""
        end = time.monotonic() + deadline_s
        while found := self.differences():
            if time.monotonic() > end:
                raise AssertionError("ClickHouse does not become equal to Postgres:\n" + "\n".join(found))

    def __enter__(self) -> Universe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove connector, slot, topics and databases."""
        self.call("connectors", "delete")
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            # The connector goes before its topics: a task that still writes there would wait for them in vain, for 8 s.
            wait_for(
                "the connector lets go of its slot",
                lambda: not self._slot_is_active(connection),
                deadline_s=30,
            )
            self._remove_topics()
            for url in self.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
                client = oracle.client_of(url, self.env)
                client.command(f"DROP DATABASE IF EXISTS {self.name}")
                client.close()
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                (self.name,),
            )
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def operator_options(self) -> dict[str, str | int]:
        """librdkafka's options of a user who may do everything."""
        return {"bootstrap.servers": self.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]}

    def _remove_topics(self) -> None:
        admin = AdminClient(self.operator_options())
        topics = [name for name in admin.list_topics(timeout=10).topics if self.name in name]
        if topics:
            for future in admin.delete_topics(topics).values():
                future.exception()

    def _slot_is_active(self, connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s", (self.name,)
        ).fetchone()
        return bool(row and row[0])


class Worker:
    """A `scorestream worker` process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self, *, deadline_s: float = 15) -> int:
        """SIGTERM; returns the exit code."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=deadline_s)

    def kill(self) -> None:
        """SIGKILL."""
        if self.alive():
            self.process.kill()
        self.process.wait(timeout=10)

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])


def _with_database(url: str, database: str) -> str:
    head, _, tail = url.rpartition("/")
    query = tail.partition("?")[2]
    return f"{head}/{database}" + (f"?{query}" if query else "")
