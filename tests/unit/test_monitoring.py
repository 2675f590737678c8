"""monitoring/: every expression parses, every metric exists, alerts have runbooks and rule tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import yaml

from docs.write import series as names
from stream.web.runbooks import RUNBOOKS

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
        bare = re.sub(r"(?:by|on|without) \([^)]*\)", "", bare)
        used = set(_WORD.findall(bare))
        assert used, expression
        assert used <= names(), f"{used - names()} in {expression}"


def test_every_expression_parses() -> None:
    for expression in expressions():
        promql_parser.parse(expression)


def test_every_alert_has_a_runbook() -> None:
    anchors = re.findall(r"runbook_url: http://127\.0\.0\.1:6067/runbooks#(\S+)", RULES.read_text("utf-8"))
    assert len(anchors) == RULES.read_text("utf-8").count("- alert: ")
    assert set(anchors) <= {each.id for each in RUNBOOKS}


def test_every_alert_is_seen_to_fire_and_to_clear_by_promtool() -> None:
    # tests/pages/test_rules.py runs them
    cases = yaml.safe_load((RULES.parent / "scorestream.test.yml").read_text("utf-8"))["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    names = set(re.findall(r"- alert: (\S+)", RULES.read_text("utf-8")))
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == names
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == names
