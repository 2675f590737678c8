"""monitoring/: every expression parses, every metric exists, alerts have runbooks and rule tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

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


def routing(name: str) -> dict[str, Any]:
    return yaml.safe_load((MONITORING / "alertmanager" / name).read_text("utf-8"))


def test_alertmanager_knows_every_severity_and_names_only_alerts_that_exist() -> None:
    plain, sending = routing("alertmanager.yml"), routing("slack-and-pagerduty.yml")
    assert plain["route"] == sending["route"]
    assert plain["inhibit_rules"] == sending["inhibit_rules"]
    assert {each["name"] for each in plain["receivers"]} == {"on-call", "tickets"}
    alerts = set(re.findall(r"- alert: (\S+)", RULES.read_text("utf-8")))
    for rule in plain["inhibit_rules"]:
        assert rule["equal"] == ["installation"], "another installation's outage explains nothing here"
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            assert set(alternatives(matcher)) <= alerts, matcher


def alternatives(matcher: str) -> list[str]:
    """The alerts that a matcher names: `alertname = A`, or `alertname =~ "Prefix(A|B)"`."""
    value = matcher.split("=", 1)[1].strip('~ "')
    prefix, _, inner = value.partition("(")
    return [prefix + each for each in inner.rstrip(")").split("|")] if inner else [prefix]


def test_alertmanager_has_its_secrets_from_files() -> None:
    text = (MONITORING / "alertmanager" / "slack-and-pagerduty.yml").read_text("utf-8")
    assert "routing_key_file: /" in text
    assert "api_url_file: /" in text
    assert not re.search(r"(routing_key|service_key|api_url|password): ", text)
