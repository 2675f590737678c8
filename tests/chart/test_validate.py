"""Manifests and Dockerfile by tools that know what clusters and builds refuse. None of them needs a cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from docs.rendering import OPERATORS, PLAIN, RENDERINGS, ROOT, Rendering
from testbed.programs import tool

# checkov's checks that do not hold here, each with its reason.
ON_PURPOSE = {
    "CKV_K8S_11": "no CPU limit: a throttled worker is late",
    "CKV_K8S_15": "an image is named by version or digest, so the node's copy is the same",
    "CKV_K8S_21": "helm install --namespace says where; the manifests do not",
    "CKV_K8S_43": "image.digest has no default: each company pushes an image of its own",
    "CKV_DOCKER_7": "the base is an argument with tag and digest, which checkov does not resolve",
    "CKV_DOCKER_2": "the image runs any command; probes and health checks stand with the services",
}
OF_OPERATORS = ON_PURPOSE | {"CKV_K8S_35": "this rendering tries secrets from the environment"}


def run(name: str, *arguments: str) -> str:
    command, environment = tool(name)
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("rendering", RENDERINGS, ids=lambda each: each.path.stem)
def test_every_manifest_has_the_schema_of_kubernetes(rendering: Rendering) -> None:
    said = run("kubernetes-validate", "--strict", str(rendering.path))
    ours = [each for each in rendering.documents() if "." not in each["apiVersion"] or "k8s.io" in each["apiVersion"]]
    assert said.count(" passed for resource ") == len(ours)


@pytest.mark.parametrize(
    ("path", "framework", "skipped"),
    [
        (PLAIN.path, "kubernetes", ON_PURPOSE),
        (OPERATORS.path, "kubernetes", OF_OPERATORS),
        (ROOT / "docker" / "Dockerfile", "dockerfile", ON_PURPOSE),
    ],
    ids=["plain", "operators", "image"],
)
def test_checkov_finds_nothing_but_what_is_on_purpose(path: Path, framework: str, skipped: dict[str, str]) -> None:
    where = ("--file", str(path.relative_to(ROOT)), "--framework", framework)
    run("checkov", "--quiet", "--compact", "--skip-download", *where, "--skip-check", ",".join(skipped))


def test_hadolint_finds_nothing() -> None:
    run("hadolint", "docker/Dockerfile")
