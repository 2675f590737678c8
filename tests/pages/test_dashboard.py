"""Lag on the real stack: dashboard, `scorestream lag`, /metrics and Prometheus say the same, soon, and the truth.

The tests share one world. Each begins where all is well (`fresh`), regardless of the test before it. Each shows one
fault, and asks that the page shows that one and no other. The page is kept as desk and phone saw it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from confluent_kafka import Producer
from playwright.sync_api import Browser, Page

from devstack.stack import Stack
from testbed.programs import prometheus
from testbed.replays import Running
from testbed.universe import ROOT, wait_for
from testbed.workload import Workload
from tests.browser import SIZES, browser, page
from tests.site import Site, answers, free_port, program, site

pytestmark = pytest.mark.stack

TOLD_WITHIN_S = 15.0
SCRAPED = """
global: {{scrape_interval: 2s, evaluation_interval: 2s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: scorestream-monitor
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass
class Seen:
    """A site, its page in a browser, and a Prometheus that scrapes its monitor."""

    site: Site
    stack: Stack
    page: Page
    prometheus: str

    def level(self) -> str | None:
        return self.page.get_attribute("body", "data-level")

    def shows(self, *texts: str) -> bool:
        self.page.wait_for_timeout(50)  # lets the browser's events in
        shown = self.page.inner_text("main")
        return all(text in shown for text in texts)

    def alerts(self) -> dict[str, str]:
        """Alerts that fire, with the labels of the first."""
        found = urllib3.request("GET", f"{self.prometheus}/api/v1/alerts").json()["data"]["alerts"]
        return {each["labels"]["alertname"]: json.dumps(each) for each in found if each["state"] == "firing"}

    def quiet(self) -> bool:
        """No alert fires, but for those that remember an hour."""
        return not [name for name in self.alerts() if "Burn" not in name]

    def keep(self, folder: Path, name: str) -> None:
        """As desk and phone see it."""
        for size, (width, height) in SIZES.items():
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.wait_for_timeout(100)
            self.page.screenshot(path=folder / f"{name}-{size}.png", full_page=True)
        width, height = SIZES["desk"]
        self.page.set_viewport_size({"width": width, "height": height})

    def tells(self, trouble: str, *texts: str, began: float | None = None) -> dict[str, Any]:
        """Wait until the page and `scorestream lag` show this fault and no other; returns the state.

        Args:
            texts: texts of the page then.
            began: when the fault began; default: now.
        """
        left = TOLD_WITHIN_S - (time.time() - (began or time.time()))
        wait_for(
            f"{trouble} is reported",
            lambda: self.site.roots() == [trouble] and self.shows(*texts),
            deadline_s=max(0, left),
        )
        state = self.site.state()
        assert state["headline"]["id"] == trouble
        assert state["headline"]["title"].upper() in self.site.lag().stdout
        return state


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def world(stack: Stack, chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("lag")
    with ExitStack() as opened:
        made = opened.enter_context(site(stack.env(), folder))
        port = free_port()
        rules, config = folder / "scorestream.rules.yml", folder / "prometheus.yml"
        shutil.copy(ROOT / "monitoring" / "prometheus" / "scorestream.rules.yml", rules)
        config.write_text(SCRAPED.format(rules=rules, target=made.monitor.removeprefix("http://")), "utf-8")
        watcher: list[str | Path] = [
            prometheus("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        opened.enter_context(program(watcher, made.universe.env, folder / "prometheus.log"))
        wait_for("Prometheus answers", lambda: answers(f"http://127.0.0.1:{port}/-/ready"))
        shown = opened.enter_context(page(chromium, made.monitor))
        yield Seen(made, stack, shown, f"http://127.0.0.1:{port}")


@pytest.fixture
def fresh(world: Seen) -> Seen:
    """All parts run, nothing waits, no finding is shown."""
    if not world.site.worker.alive():
        world.site.worker = world.site.universe.start_worker()
    world.site.wait_until_fresh()
    wait_for("0 s", lambda: world.site.freshness() == 0, deadline_s=15)
    wait_for("nothing is reported", lambda: not world.site.roots(), deadline_s=20)
    wait_for("no alert fires", world.quiet, deadline_s=30)
    return world


def stuck_by(done: subprocess.CompletedProcess[str]) -> bool:
    return done.returncode == 3 and "STALL" in done.stdout and "scorecards" in done.stdout


@contextmanager
def written(site: Site) -> Iterator[None]:
    """A scorecard five times a second, for the length of a block."""
    ended = threading.Event()

    def write() -> None:
        with site.universe.postgres() as connection:
            workload = Workload(connection, seed=time.time_ns())
            while not ended.wait(0.2):
                site.add_scorecard(connection, workload.uuid(), workload.uuid())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_idle_is_zero_everywhere(fresh: Seen, tmp_path: Path) -> None:
    wait_for("the canary", lambda: fresh.site.state()["canary"]["state"] == "ok", deadline_s=15)
    wait_for("the page is fresh", lambda: fresh.level() == "fresh" and fresh.shows("0 s", "Everything committed"))
    wait_for("the page has the canary", lambda: fresh.shows("canary ok"), deadline_s=5)
    assert set(fresh.site.metric("scorestream_consumer_lag_seconds").values()) == {0.0}
    done = fresh.site.lag("--max-lag", "5s")
    assert done.returncode == 0, done.stdout
    assert "canary     ok" in done.stdout
    fresh.keep(tmp_path, "idle")


def test_a_killed_worker_is_told_with_since_when_and_the_seconds_are_true(fresh: Seen, tmp_path: Path) -> None:
    site = fresh.site
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
            }
            after = {"page": told("page", lambda: fresh.level() == "stuck" and fresh.shows("scorecards-", page_says))}
            after |= {name: wait.result() for name, wait in waits.items()}
        # then all of them say so in time, which and since when
        print("told after", {name: round(seconds, 1) for name, seconds in after.items()})
        assert max(after.values()) <= TOLD_WITHIN_S, after
        fresh.keep(tmp_path, "killed")
        state = site.state()
        assert abs(state["headline"]["since"] - killed) < 4, state["headline"]  # processes are asked every 3 s
        assert f"pid {site.worker.pid}) does not answer" in state["headline"]["sentence"]
        assert [each["id"] for each in state["findings"] if not each["because"]] == ["process-silent"]
        assert [(each["pid"], each["partitions"]) for each in state["processes"]] == [(site.worker.pid, 12)]
        # the age is that of the oldest row that no reader sees, within a second, at the time of the document
        for _ in range(3):
            oldest, state, asked_at = site.oldest_unseen(), site.state(), time.time()
            metric, told_at = site.freshness(), time.time()
            assert oldest is not None
            first, last = oldest
            assert state["now"] - last - 1 < state["freshness"]["seconds"] < state["now"] - first + 1
            assert asked_at - last - 1 < (metric or 0) < told_at - first + 1
        # and it grows by a second each second
        before = site.state()
        later = wait_for("four seconds", lambda: (s := site.state())["now"] - before["now"] > 4 and s)
        grown = later["freshness"]["seconds"] - before["freshness"]["seconds"]
        assert grown / (later["now"] - before["now"]) == pytest.approx(1, abs=0.1)
        # and the alert fires, once a worker would have been replaced
        wait_for("alert", lambda: "scorecards" in fresh.alerts().get("ScorestreamStalled", ""), deadline_s=90)
        # when it is started again, then the lag falls to 0 and the page says so
        site.worker = site.universe.start_worker()
        wait_for("late no more", lambda: site.state()["headline"]["level"] == "fresh", deadline_s=40)
        # and the hops of the last minute are known, while rows come
        names = ("to_kafka", "to_worker", "to_clickhouse", "end_to_end")
        wait_for("hops", lambda: all(site.state()["hops"][name] for name in names), deadline_s=20)
    wait_for("0 s again", lambda: site.freshness() == 0, deadline_s=10)
    wait_for("the page says so", lambda: fresh.level() == "fresh" and fresh.shows("Fresh again since"), deadline_s=10)
    wait_for("the alert clears", fresh.quiet, deadline_s=15)
    assert site.oldest_unseen() is None
    fresh.keep(tmp_path, "back")


def test_a_paused_connector(fresh: Seen, tmp_path: Path) -> None:
    fresh.site.universe.run("connectors", "pause")
    try:
        state = fresh.tells("connector-paused", "The connector is paused")
        assert {each["verdict"] for each in state["partitions"]} == {"OK"}
        fresh.keep(tmp_path, "paused")
    finally:
        fresh.site.universe.run("connectors", "resume")


def test_a_failed_connector_task(fresh: Seen, tmp_path: Path) -> None:
    env = fresh.site.universe.env
    url = f"{env['SCORESTREAM_CONNECT_URL']}/connectors/{fresh.site.universe.name}"

    def configure(config: dict[str, str]) -> None:
        assert urllib3.request("PUT", f"{url}/config", json=config).status == 200

    config = urllib3.request("GET", f"{url}/config").json()
    # when it is given a step that no message survives
    step = {"type": "org.apache.kafka.connect.transforms.ExtractField$Key", "field": "no_such_field"}
    configure(
        config
        | {"transforms": f"{config['transforms']},broken"}
        | {f"transforms.broken.{name}": value for name, value in step.items()}
    )
    try:
        status = lambda: urllib3.request("GET", f"{url}/status").json()["tasks"]  # noqa: E731
        wait_for("the task fails", lambda: [each["state"] for each in status()] == ["FAILED"])
        state = fresh.tells("connector-failed", "The connector has failed", "no_such_field")
        assert {each["verdict"] for each in state["partitions"]} == {"OK"}
        assert fresh.site.metric("scorestream_connector_task_running") == {(fresh.site.universe.name, "0"): 0.0}
        fresh.keep(tmp_path, "failed")
    finally:
        configure(config)


def test_an_inactive_slot(fresh: Seen, tmp_path: Path) -> None:
    role = "scorestream_cdc"
    with fresh.site.universe.postgres() as connection:
        connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,))
            state = fresh.tells("slot-inactive", "The replication slot is inactive")
            assert {each["verdict"] for each in state["partitions"]} == {"OK"}
            assert fresh.site.metric("scorestream_slot_active") == {(fresh.site.universe.name,): 0.0}
            fresh.keep(tmp_path, "slot")
        finally:
            connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    fresh.site.universe.run("connectors", "restart", "--all")


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_stopped_shard(fresh: Seen, tmp_path: Path, how: signal.Signals) -> None:
    pid = fresh.stack.pid("clickhouse-1")
    assert pid is not None
    began = time.time()
    with written(fresh.site):
        if how is signal.SIGKILL:
            fresh.stack.kill("clickhouse-1")
        else:
            subprocess.run(["kill", "-STOP", str(pid)], check=True)
        try:
            fresh.tells("shard-down", "ClickHouse shard 1 does not answer", began=began)
            assert fresh.site.metric("scorestream_clickhouse_up") == {("0",): 1.0, ("1",): 0.0}
            # and its effects are shown as such
            wait_for("partitions stall", lambda: max(fresh.site.verdicts()) >= 3, deadline_s=20)
            assert fresh.site.roots() == ["shard-down"]
            fresh.keep(tmp_path, "shard")
        finally:
            if how is signal.SIGKILL:
                fresh.stack.start("clickhouse-1")
            else:
                subprocess.run(["kill", "-CONT", str(pid)], check=True)


def test_a_wedged_worker_of_two(fresh: Seen, tmp_path: Path) -> None:
    site = fresh.site
    wedged = site.start_second()
    try:
        shared = lambda: sorted(each["partitions"] for each in site.state()["processes"])  # noqa: E731
        wait_for("they share the partitions", lambda: shared() == [6, 6], deadline_s=30)
        site.wait_until_fresh()
        with written(site):
            wedged.signal(signal.SIGSTOP)
            state = fresh.tells("process-silent", f"pid {wedged.pid}", "STALL")
            # then only its partitions stall, and those of the other are as fresh as ever
            stalled = [each for each in state["partitions"] if each["verdict"] == "STALL"]
            assert 1 <= len(stalled) <= 6
            assert {each["verdict"] for each in state["partitions"]} == {"OK", "STALL"}
            fresh.keep(tmp_path, "wedged")
    finally:
        wedged.signal(signal.SIGCONT)
        assert wedged.stop() == 0


def test_a_replay_does_not_make_live_late(fresh: Seen, tmp_path: Path) -> None:
    site = fresh.site
    with site.universe.postgres() as connection:
        Workload(connection, seed=71).add(300)
    site.universe.wait_until_equal()
    site.wait_until_fresh()
    port = free_port()
    with (
        written(site),
        Running(site.universe, "start", "again", "--rate", "150", SCORESTREAM_REPLAY_PORT=str(port)) as replay,
    ):
        wait_for("it is reported", lambda: fresh.shows("again", "running, "), deadline_s=TOLD_WITHIN_S)
        seen = wait_for("it moves", lambda: (s := site.state())["replays"][0]["done"] > 300 and s, deadline_s=30)
        # then live is as it was, and no finding is shown
        assert seen["headline"]["level"] == "fresh"
        assert site.roots() == []
        assert seen["freshness"]["seconds"] < 5
        assert {each["verdict"] for each in seen["partitions"]} == {"OK"}
        assert max(each["rewound"] for each in seen["partitions"]) == 0
        done = site.metric("scorestream_replay_done_messages")["again",]
        assert 300 < done < site.metric("scorestream_replay_total_messages")["again",]
        assert "replay     again: running" in site.lag().stdout
        # and its process tells its own share
        told = site.metric("scorestream_messages_consumed_total", of=f"http://127.0.0.1:{port}")
        assert sum(told["replay", topic] for _, topic in told) > 0
        fresh.keep(tmp_path, "replaying")
        assert replay.process.poll() is None
        site.universe.run("replay", "cancel", "again")
        replay.wait(20)


def test_dead_letters(fresh: Seen, tmp_path: Path) -> None:
    producer = Producer({"bootstrap.servers": fresh.site.universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
    for number in range(400):
        producer.produce(f"{fresh.site.universe.name}.app.scores", key=str(number), value=b"{nonsense")
    assert producer.flush(10) == 0
    state = fresh.tells("dead-letters", "New dead letters", "not_json 400")
    assert state["freshness"]["seconds"] == 0
    fresh.keep(tmp_path, "dead-letters")
