"""A universe with a worker and a monitor, for the tests of lag and its dashboard."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from testbed import oracle
from testbed.universe import SCORESTREAM, Universe, Worker, wait_for


@dataclass
class Site:
    """`committed`: scorecard -> Unix times just before and just after its commit returned, for `oldest_unseen`."""

    universe: Universe
    worker: Worker
    worker_url: str
    second_url: str
    monitor: str
    committed: dict[str, tuple[float, float]] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = urllib3.request("GET", f"{self.monitor}/api/state").json()
        return found

    def roots(self) -> list[str]:
        """Ids of the findings that need an operator and follow from no other."""
        return [each["id"] for each in self.state()["findings"] if not each["because"] and each["level"] != "note"]

    def metric(self, name: str, *, of: str | None = None) -> dict[tuple[str, ...], float]:
        """The samples of a metric by the values of their labels (sorted by label)."""
        text = urllib3.request("GET", f"{of or self.monitor}/metrics").data.decode()
        return {
            tuple(value for label, value in sorted(each.labels.items()) if label != "installation"): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
            if each.name == name
        }

    def freshness(self) -> float | None:
        return self.metric("scorestream_freshness_seconds").get(())

    def verdicts(self) -> list[float]:
        return list(self.metric("scorestream_consumer_verdict").values())

    def lag(self, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.universe.run("lag", *options, check=False, **env)

    def oldest_unseen(self) -> tuple[float, float] | None:
        """Our own measurement: between which times the oldest of our scorecards that no reader sees was committed."""
        seen = {row[1] for row in oracle.visible(self.universe.env, self.universe.name)["scorecard_current"]}
        return min((at for each, at in list(self.committed.items()) if each not in seen), default=None)

    def start_second(self) -> Worker:
        """Another worker, which the monitor finds. The test that starts it stops it."""
        return self.universe.start_worker(SCORESTREAM_WEB_PORT=self.second_url.rpartition(":")[2])

    def wait_until_fresh(self, *, deadline_s: float = 40) -> None:
        wait_for("fresh", lambda: self.state()["headline"]["level"] == "fresh", deadline_s=deadline_s)

    def add_scorecard(self, connection: Any, name: str, template: str) -> None:
        """A process scorecard of a day that belongs to shard 1."""
        before = time.time()
        connection.execute(
            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, scorecard_time, submission_source)"
            " VALUES (%s, 'spirit', %s, '2026-01-02', 2)",
            (name, template),
        )
        self.committed[name] = before, time.time()


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@contextmanager
def program(command: list[str | Path], env: dict[str, str], log: Path) -> Iterator[None]:
    """A process for the length of a block."""
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def site(stack_env: dict[str, str], folder: Path) -> Iterator[Site]:
    """Set up, with a worker and a monitor that has asked Kafka; removed at the end."""
    universe = Universe(stack_env, folder)
    worker_port, second_port, monitor_port = free_port(), free_port(), free_port()
    worker_url, second_url, monitor_url = (
        f"http://127.0.0.1:{port}" for port in (worker_port, second_port, monitor_port)
    )
    universe.env |= {
        "SCORESTREAM_WEB_PORT": str(worker_port),
        "SCORESTREAM_MONITOR_PORT": str(monitor_port),
        "SCORESTREAM_MONITOR_PROCESSES": worker_url,  # the second is found by what it announces
    }
    try:
        universe.set_up()
        made = Site(universe, universe.start_worker(), worker_url, second_url, monitor_url)
        try:
            with program([SCORESTREAM, "monitor"], universe.env, folder / "monitor.log"):
                wait_for("the monitor answers", lambda: answers(f"{monitor_url}/readyz"))
                yield made
        finally:
            made.worker.kill()  # the one that is there then
    finally:
        universe.close()
