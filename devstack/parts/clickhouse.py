"""One shard: a process of devstack.clickhouse, ClickHouse's engine behind its HTTP protocol."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from devstack.parts.base import NotReady, Part

REPOSITORY = Path(__file__).parents[2]


class ClickHouse(Part):
    """Serves the user `default` without, and `scorestream` with a password, from loopback only."""

    def command(self) -> tuple[list[str], dict[str, str]]:
        program = [
            sys.executable,
            "-m",
            "devstack.clickhouse",
            "--port",
            str(self.port),
            "--path",
            str(self.data / "data"),
        ]
        program += ["--name", self.name]
        if self.site.tls is not None:
            program += ["--certificate", str(self.site.tls.server)]
        env = {name: value for name, value in os.environ.items() if not name.startswith("SCORESTREAM_")}
        env["PYTHONPATH"] = str(REPOSITORY)
        env["DEVSTACK_CLICKHOUSE_USERS"] = f"scorestream:{self.site.passwords['scorestream']}"
        return program, env

    def prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)

    def probe(self) -> None:
        try:
            url = f"{self.site.scheme}://127.0.0.1:{self.port}/ping"
            context = None if self.site.tls is None else self.site.tls.context()
            urllib.request.urlopen(url, timeout=3, context=context).close()
        except (OSError, urllib.error.URLError) as error:
            raise NotReady(str(error)) from error
