"""The alerts of Prometheus, by its own tools: they are valid, and each fires and clears when it should."""

from __future__ import annotations

import subprocess

import pytest

from testbed.programs import amtool, prometheus
from testbed.universe import ROOT

FOLDER = ROOT / "monitoring" / "prometheus"


def promtool(*command: str) -> str:
    done = subprocess.run([prometheus("promtool"), *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_and_clears() -> None:
    promtool("test", "rules", "scorestream.test.yml")


@pytest.mark.parametrize("name", ["alertmanager.yml", "slack-and-pagerduty.yml"])
def test_alertmanager_takes_its_configuration(name: str) -> None:
    path = ROOT / "monitoring" / "alertmanager" / name
    done = subprocess.run([amtool(), "check-config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("severity", "receiver"), [("page", "on-call"), ("ticket", "tickets")])
def test_pages_wake_people_and_tickets_do_not(severity: str, receiver: str) -> None:
    path = ROOT / "monitoring" / "alertmanager" / "slack-and-pagerduty.yml"
    route = [amtool(), "config", "routes", "test", f"--config.file={path}", f"severity={severity}"]
    done = subprocess.run(route, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [receiver], done.stderr
