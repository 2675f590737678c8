"""Lag on the real stack: dashboard, `scorestream lag`, /metrics and Prometheus say the same, soon, and the truth.

The tests share one world and follow one another: idle, worker killed, worker back, connector paused, group rewound.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Browser, Page
from prometheus_client.parser import text_string_to_metric_families

from devstack.stack import Stack
from tests import oracle
from tests.browser import browser, page
from tests.programs import prometheus
from tests.universe import ROOT, SCORESTREAM, Universe, Worker, wait_for
from tests.workload import Workload

pytestmark = pytest.mark.stack

TOLD_WITHIN_S = 15.0
SCRAPED = """
global: {{scrape_interval: 2s, evaluation_interval: 2s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: scorestream-monitor
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@dataclass
class Site:
    """The world, its worker, and those who watch it."""

    universe: Universe
    worker: Worker
    monitor: str
    prometheus: str
    page: Page
    committed: dict[str, float] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = urllib3.request("GET", f"{self.monitor}/api/state").json()
        return found

    def metric(self, name: str) -> dict[str, float]:
        """The samples of a metric by topic and partition ("/" without)."""
        text = urllib3.request("GET", f"{self.monitor}/metrics").data.decode()
        return {
            f"{each.labels.get('topic', '')}/{each.labels.get('partition', '')}": each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
            if each.name == name
        }

    def freshness(self) -> float | None:
        return self.metric("scorestream_freshness_seconds").get("/")

    def verdicts(self) -> list[float]:
        return list(self.metric("scorestream_consumer_verdict").values())

    def level(self) -> str | None:
        return self.page.get_attribute("body", "data-level")

    def shows(self, *texts: str) -> bool:
        self.page.wait_for_timeout(50)  # lets the browser's events in
        shown = self.page.inner_text("main")
        return all(text in shown for text in texts)

    def lag(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.universe.run("lag", *options, check=False)

    def alerts(self) -> dict[str, str]:
        """Alerts that fire, with the labels of the first."""
        found = urllib3.request("GET", f"{self.prometheus}/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"]: json.dumps(each) for each in found if each["state"] == "firing"}

    def oldest_unseen(self) -> float | None:
        """Our own measurement: when the oldest of our scorecards that no reader sees was committed."""
        seen = {row[1] for row in oracle.visible(self.universe.env, self.universe.name)["scorecard_current"]}
        return min((at for each, at in list(self.committed.items()) if each not in seen), default=None)

    def wait_until_fresh(self, *, deadline_s: float = 40) -> None:
        wait_for("fresh again", lambda: self.state()["headline"]["level"] == "fresh", deadline_s=deadline_s)


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextmanager
def program(command: list[str | Path], env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(stack: Stack, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("lag")
    universe = Universe(stack.env(), folder)
    worker_port, monitor_port, prometheus_port = free_port(), free_port(), free_port()
    universe.env |= {
        "SCORESTREAM_WEB_PORT": str(worker_port),
        "SCORESTREAM_MONITOR_PORT": str(monitor_port),
        "SCORESTREAM_MONITOR_PROCESSES": f"http://127.0.0.1:{worker_port}",
    }
    rules = folder / "scorestream.rules.yml"
    shutil.copy(ROOT / "monitoring" / "prometheus" / "scorestream.rules.yml", rules)
    config = folder / "prometheus.yml"
    config.write_text(SCRAPED.format(rules=rules, port=monitor_port), "utf-8")
    watcher: list[str | Path] = [
        prometheus("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
    ]  # fmt: skip
    monitor_url, prometheus_url = (f"http://127.0.0.1:{port}" for port in (monitor_port, prometheus_port))
    with ExitStack() as opened:
        opened.callback(universe.close)
        universe.set_up()
        worker = universe.start_worker()
        made = Site(universe, worker, monitor_url, prometheus_url, None)  # type: ignore[arg-type]
        opened.callback(lambda: made.worker.kill())  # noqa: PLW0108  the worker that is there then
        opened.enter_context(program([SCORESTREAM, "monitor"], universe.env, folder / "monitor.log"))
        opened.enter_context(program(watcher, universe.env, folder / "prometheus.log"))
        wait_for("the monitor answers", lambda: answers(f"{monitor_url}/readyz"))
        wait_for("Prometheus answers", lambda: answers(f"{prometheus_url}/-/ready"))
        made.page = opened.enter_context(page(chromium, monitor_url))
        yield made


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def stuck_by(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 3 and "STALL" in done.stdout and "scorecards" in done.stdout


@contextmanager
def written(site: Site) -> Iterator[None]:
    """A scorecard five times a second, each with its time of commit, for the length of a block."""
    ended = threading.Event()

    def write() -> None:
        with site.universe.postgres() as connection:
            workload = Workload(connection, seed=11)
            while not ended.wait(0.2):
                name = workload.uuid()
                connection.execute(
                    "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, scorecard_time,"
                    " submission_source) VALUES (%s, 'spirit', %s, now(), 2)",
                    (name, workload.uuid()),
                )
                site.committed[name] = time.time()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_idle_is_zero_everywhere(site: Site) -> None:
    site.wait_until_fresh()
    wait_for("the page is fresh", lambda: site.level() == "fresh" and site.shows("0 s", "Everything committed"))
    assert set(site.metric("scorestream_consumer_lag_seconds").values()) == {0.0}
    assert site.freshness() == 0
    done = site.lag("--max-lag", "5s")
    assert done.returncode == 0, done.stdout
    assert site.alerts() == {}


def test_a_killed_worker_is_told_with_since_when_and_the_seconds_are_true(site: Site, tmp_path: Path) -> None:
    with written(site):
        wait_for("rows come through", lambda: site.committed and site.state()["ledger"]["consumed"])
        # when the worker is killed
        site.worker.kill()
        killed = time.time()

        def told(name: str, way: Callable[[], Any]) -> float:
            wait_for(name, way, deadline_s=40)
            return time.time() - killed

        page_says = f"pid {site.worker.pid}"
        with ThreadPoolExecutor() as asked:
            waits = {
                "lag": asked.submit(told, "lag", lambda: stuck_by(site.lag("--max-lag", "5s"))),
                "metrics": asked.submit(told, "metrics", lambda: max(site.verdicts()) >= 3),
                "alert": asked.submit(
                    told, "alert", lambda: "scorecards" in site.alerts().get("ScorestreamStalled", "")
                ),
            }
            after = {"page": told("page", lambda: site.level() == "stuck" and site.shows("scorecards-", page_says))}
            after |= {name: wait.result() for name, wait in waits.items()}
        # then all of them say so in time, which and since when
        print("told after", {name: round(seconds, 1) for name, seconds in after.items()})
        assert max(after.values()) <= TOLD_WITHIN_S, after
        site.page.screenshot(path=tmp_path / "killed.png", full_page=True)
        state = site.state()
        assert abs(state["headline"]["since"] - killed) < 4, state["headline"]  # processes are asked every 3 s
        assert f"pid {site.worker.pid}) does not answer" in state["headline"]["sentence"]
        assert [each["id"] for each in state["findings"] if not each["because"]] == ["process-silent"]
        assert [(each["pid"], each["partitions"]) for each in state["processes"]] == [(site.worker.pid, 12)]
        # the age is that of the oldest row that no reader sees, within a second
        for _ in range(3):
            oldest, seconds, at = site.oldest_unseen(), site.freshness(), time.time()
            assert oldest is not None
            assert seconds is not None
            assert abs(seconds - (at - oldest)) < 1, (seconds, at - oldest)
        # and it grows by a second each second
        first, first_at = site.freshness(), time.time()
        wait_for("four seconds", lambda: time.time() - first_at > 4)
        assert first is not None
        grown = ((site.freshness() or 0) - first) / (time.time() - first_at)
        assert abs(grown - 1) < 0.1, grown
        # when it is started again, then the lag falls to 0 and the page says so
        site.worker = site.universe.start_worker()
        wait_for("late no more", lambda: site.state()["headline"]["level"] == "fresh", deadline_s=40)
    wait_for("0 s again", lambda: site.freshness() == 0, deadline_s=10)
    wait_for("the page says so", lambda: site.level() == "fresh" and site.shows("Fresh again since"), deadline_s=10)
    wait_for("the alert clears", lambda: site.alerts() == {}, deadline_s=15)
    assert site.oldest_unseen() is None
    hops = site.state()["hops"]
    assert all(hops[name] for name in ("to_kafka", "to_worker", "to_clickhouse", "end_to_end")), hops
    site.page.screenshot(path=tmp_path / "back.png", full_page=True)


def test_a_paused_connector_shows_as_itself_and_only_as_itself(site: Site, tmp_path: Path) -> None:
    site.universe.run("connectors", "pause")
    wait_for("the page says so", lambda: site.shows("The connector is paused"), deadline_s=15)
    state = site.state()
    assert [each["id"] for each in state["findings"] if not each["because"]] == ["connector-paused"]
    assert {each["verdict"] for each in state["partitions"]} == {"OK"}
    site.page.screenshot(path=tmp_path / "paused.png", full_page=True)
    site.universe.run("connectors", "resume")
    site.wait_until_fresh()


def test_a_rewound_group_is_rewind_and_not_late(site: Site) -> None:
    assert site.worker.stop() == 0
    site.universe.run("rewind", "--to-earliest", "--execute")
    state = wait_for(
        "the rewind is seen",
        lambda: (found := site.state()) and any(each["rewound"] for each in found["partitions"]) and found,
        deadline_s=10,
    )
    again = [each for each in state["partitions"] if each["rewound"] and each["topic"].endswith("scorecards")]
    assert {each["verdict"] for each in again} == {"REWIND"}
    assert {each["seconds"] for each in again} == {0.0}
    site.worker = site.universe.start_worker()
    wait_for(
        "all is indexed again",
        lambda: {each["verdict"] for each in site.state()["partitions"]} == {"OK"},
        deadline_s=30,
    )
    site.wait_until_fresh()
    assert site.worker.stop() == 0
