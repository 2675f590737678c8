"""The chart by Helm itself: it is valid, its renderings are those in the repository, and wrong values are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.rendering import CHART, OPERATORS, RENDERINGS, ROOT, Rendering, helm_template, rendered
from testbed.programs import helm


@pytest.fixture(scope="module")
def program() -> Path:
    return helm()


def manifests(program: Path, *options: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(helm_template(program, *options)) if each]


def test_helm_finds_no_fault(program: Path) -> None:
    for each in RENDERINGS:
        values = ["--values", str(CHART / each.values)] if each.values else []
        command = [str(program), "lint", "--strict", str(CHART), *values]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("each", RENDERINGS, ids=lambda each: each.path.stem)
def test_the_rendering_in_the_repository_is_the_present_one(program: Path, each: Rendering) -> None:
    assert each.path.read_text("utf-8") == rendered(program, each), "run: make chart"


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("settings.SCORESTREAM_BATCH_MAX_MESAGES=5", "SCORESTREAM_BATCH_MAX_MESAGES"),
        ("settings.SCORESTREAM_POSTGRES_PASSWORD=x", "SCORESTREAM_POSTGRES_PASSWORD"),
        ("secrets.settings.SCORESTREAM_KAFKA_SASL_PASSWORD.value=x", "additional properties 'value'"),
        ("worker.replica=3", "additional properties 'replica'"),
        ("image.digest=latest", "does not match pattern"),
        ("autoscaling.enabled=true", "autoscaling.prometheus"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(program: Path, option: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        helm_template(program, "--set", option)


def test_whole_numbers_reach_the_program_as_such(program: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("settings: {SCORESTREAM_KAFKA_MIN_COMPACTION_LAG_S: 6048000, SCORESTREAM_BATCH_MAX_AGE_S: 0.02}")
    worker = next(each for each in manifests(program, "-f", str(values)) if each["kind"] == "Deployment")
    env = {each["name"]: each.get("value") for each in worker["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["SCORESTREAM_KAFKA_MIN_COMPACTION_LAG_S"] == "6048000"
    assert env["SCORESTREAM_BATCH_MAX_AGE_S"] == "0.02"


def test_the_alerts_are_those_of_the_rules_file_with_runbooks_that_people_reach(program: Path) -> None:
    (rule,) = [
        each
        for each in manifests(program, "-f", str(CHART / str(OPERATORS.values)))
        if each["kind"] == "PrometheusRule"
    ]
    text = (ROOT / "monitoring/prometheus/scorestream.rules.yml").read_text("utf-8")
    assert rule["spec"] == yaml.safe_load(text.replace("http://127.0.0.1:6067", "https://scorestream.example"))
