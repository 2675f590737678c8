"""A shard on a free port, for tests that need ClickHouse and nothing else of the stack: starts in half a second."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
from clickhouse_connect.driver.client import Client

REPOSITORY = Path(__file__).parents[2]


class Front:
    """A front in a process of its own; `stop` it, or use it as a context manager."""

    def __init__(self, path: Path, *, users: str = "") -> None:
        self.path = path
        self.users = users
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Front:
        """Start it, on its earlier port if it was started before."""
        env = dict(os.environ) | {"PYTHONPATH": str(REPOSITORY), "DEVSTACK_CLICKHOUSE_USERS": self.users}
        command = [sys.executable, "-m", "devstack.clickhouse", "--port", str(self.port), "--path", str(self.path)]
        log = (self.path.parent / "front.log").open("a")
        with log:
            self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "on http://127.0.0.1:" in line, (self.path.parent / "front.log").read_text()
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def __enter__(self) -> Front:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; returns the exit code."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(how)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    def client(self, **options: Any) -> Client:
        """An unmodified clickhouse-connect; close it."""
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, **options)

    def http(
        self,
        method: str,
        body: bytes | str | Iterable[bytes] | None = None,
        *,
        path: str = "/",
        headers: dict[str, str] | None = None,
        **params: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """One plain request: status, headers (names in lower case), body. Iterables are sent in HTTP chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, f"{path}?{urlencode(params)}", body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def sql(self, statement: str, **params: str) -> str:
        """The output of a statement that succeeds."""
        status, _, body = self.http("POST", statement, **params)
        assert status == 200, body
        return body.decode().strip()
