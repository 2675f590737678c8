"""The alerts of Prometheus, by its own tools: they are valid, and each fires and clears when it should."""

from __future__ import annotations

import subprocess

from testbed.universe import ROOT
from tests.programs import prometheus

FOLDER = ROOT / "monitoring" / "prometheus"


def promtool(*command: str) -> str:
    done = subprocess.run([prometheus("promtool"), *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_and_clears() -> None:
    promtool("test", "rules", "scorestream.test.yml")
