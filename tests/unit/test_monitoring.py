"""monitoring/: every expression parses, every metric exists, alerts have runbooks and rule tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from docs.write import _declared
from docs.write import series as names
from stream.metrics import MONITORED
from stream.web.runbooks import RUNBOOKS

MONITORING = Path(__file__).parent.parent.parent / "monitoring"
RULES = MONITORING / "prometheus" / "scorestream.rules.yml"
LABELS = {each.name: each.labels for each in MONITORED} | {
    each._name + suffix: tuple(each._labelnames)
    for each in _declared()
    for suffix in ("", "_total", "_bucket", "_sum", "_count")
}
_WORD = re.compile(r"\b(?:scorestream|kafka|process)_[a-z_]+\b|\bup\b")


BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in (MONITORING / "grafana/dashboards").glob("*.json")}


def shown(board: dict[str, Any]) -> list[str]:
    """Expressions of a board's panels and annotations."""
    notes = [each["expr"] for each in board["annotations"]["list"]]
    return notes + [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def expressions() -> list[str]:
    found = re.findall(r"expr: >-\n\s+(.+)", RULES.read_text("utf-8"))
    return found + [each for board in BOARDS.values() for each in shown(board)]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_shows_the_installations_topics_and_groups_that_are_chosen(name: str) -> None:
    board = BOARDS[name]
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert list(variables) == ["installation", "topic", "group"]
    for label, each in variables.items():
        metric, own = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", each["query"]["query"]).groups()  # type: ignore[union-attr]
        assert own == label
        assert metric in names()
    for expression in shown(board):
        for metric, selector in re.findall(r"\b((?:scorestream|kafka|process)_\w+)\b(\{[^}]*\})?", expression):
            assert 'installation=~"$installation"' in selector, f"{metric} in {expression}"
            labels = LABELS.get(metric, ())
            assert ("topic" in labels) == ('topic=~"$topic"' in selector), f"{metric} in {expression}"
            assert bool({"group", "consumergroup"} & set(labels)) == ('group=~"$group"' in selector), metric


@pytest.mark.parametrize("expression", expressions())
def test_no_alert_and_no_panel_loses_the_installation(expression: str) -> None:
    for kept in re.findall(r"\bby \(([^)]*)\)", expression):
        assert "installation" in kept
    for left_out in re.findall(r"\bwithout \(([^)]*)\)", expression):
        assert "installation" not in left_out


@pytest.mark.parametrize("name", BOARDS)
def test_every_line_of_a_panel_says_whose_it_is(name: str) -> None:
    for panel in BOARDS[name]["panels"]:
        for target in panel["targets"]:
            assert "{{installation}}" in target["legendFormat"], panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_marks_rebalances_replays_and_backfills(name: str) -> None:
    notes = {each["name"]: each["expr"] for each in BOARDS[name]["annotations"]["list"]}
    assert set(notes) == {"Rebalances", "Replays", "Backfills"}
    assert all(expression.startswith("changes(") for expression in notes.values())


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_ids_and_places_of_their_own(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    cells = [
        (x, y)
        for each in panels
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23


def test_the_budget_that_is_left_is_that_of_the_alerts() -> None:
    panels = {each["title"]: each["targets"] for each in BOARDS["scorestream-overview"]["panels"]}
    (budget,) = panels["Budget left of 30 days (1 % may be late)"]
    assert re.fullmatch(r"1 - avg_over_time\(\(.+ > bool .+\)\[30d:5m\]\) / 0\.01", budget["expr"])
    # 14.4 times the rate that uses it up in 30 days is 14.4 % of an hour, at which the alert pages
    assert "[1h:30s]) > 0.144" in RULES.read_text("utf-8")


def test_backfills_have_panels() -> None:
    exprs = " ".join(shown(BOARDS["scorestream-replay"]))
    assert {each.name for each in MONITORED if "_backfill_" in each.name} <= set(re.findall(r"\w+", exprs))


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
