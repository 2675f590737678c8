"""monitoring/: every expression parses, every metric exists, alerts have runbooks; promtool tests where it is."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

from stream.metrics_doc import names
from stream.runbooks import RUNBOOKS

MONITORING = Path(__file__).parent.parent.parent / "monitoring"
RULES = MONITORING / "prometheus" / "scorestream.rules.yml"
_WORD = re.compile(r"\b(?:scorestream|kafka|process)_[a-z_]+\b|\bup\b")


def expressions() -> list[str]:
    found = re.findall(r"expr: >-\n\s+(.+)", RULES.read_text("utf-8"))
    for board in sorted((MONITORING / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(board.read_text("utf-8"))["panels"]:
            found += [target["expr"] for target in panel["targets"]]
    return found


def test_every_metric_of_every_expression_exists() -> None:
    assert len(expressions()) > 50
    for expression in expressions():
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", expression)
        bare = re.sub(r"(?:by|on) \([^)]*\)", "", bare)
        used = set(_WORD.findall(bare))
        assert used, expression
        assert used <= names(), f"{used - names()} in {expression}"


def test_every_expression_parses() -> None:
    if importlib.util.find_spec("promql_parser") is None:
        print("promql-parser is not installed: names were checked, the grammar was not")
        return
    promql_parser = importlib.import_module("promql_parser")
    for expression in expressions():
        promql_parser.parse(expression)


def test_every_alert_has_a_runbook() -> None:
    anchors = re.findall(r"runbook: docs/runbooks\.md#(\S+)", RULES.read_text("utf-8"))
    assert len(anchors) == RULES.read_text("utf-8").count("- alert: ")
    assert set(anchors) <= {each.id for each in RUNBOOKS}


def test_the_rules_fire_and_clear() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed: the rules were parsed, their own tests did not run")
        return
    done = subprocess.run(
        [promtool, "test", "rules", "scorestream.test.yml"],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
