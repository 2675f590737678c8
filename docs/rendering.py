"""The renderings of the Helm chart that stand in the repository, so that machines without Helm can read and test them.

`make chart` writes them. The head of each has a fingerprint of the chart's own files: a test without Helm sees that the
chart has changed since. Files that the chart shares with others (deploy/helm/scorestream/files) do not count. What is
made from those alone is left out of the renderings, and tests/chart/test_helm.py looks at it.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from testbed import programs

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "scorestream"
_SHARED = re.compile(r"^kind: (PrometheusRule|KafkaConnector|ConfigMap)$", re.MULTILINE)
_HEAD = """# Rendered by `make chart` from deploy/helm/scorestream{values}: change it there.
# Fingerprint of the chart: {fingerprint}
"""


class Rendering(NamedTuple):
    """A checked-in rendering: its path, and the values file in the chart's folder that it is made with."""

    path: Path
    values: str | None = None

    def text(self, rendered: str) -> str:
        """The whole file, from what Helm printed."""
        kept = [each.strip("\n") for each in rendered.split("\n---\n") if not _SHARED.search(each)]
        kept = [re.sub(r"\A(---\n)?(# Source: .*\n)*", "", each) for each in kept]
        head = _HEAD.format(values=f" with {self.values}" if self.values else "", fingerprint=fingerprint())
        return head + "\n---\n".join(each for each in kept if each.strip()) + "\n"

    def documents(self) -> list[dict[str, Any]]:
        """The manifests, as they stand in the repository."""
        return _documents(self.path)


@cache
def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


PLAIN = Rendering(ROOT / "deploy" / "kubernetes.yaml")
OPERATORS = Rendering(ROOT / "tests" / "data" / "chart" / "operators.yaml", "ci/operators.yaml")
RENDERINGS = (PLAIN, OPERATORS)


def fingerprint() -> str:
    """A hash of the chart's files, without those that it shares."""
    total = hashlib.sha256()
    for path in sorted(CHART.rglob("*")):
        if path.is_file() and "files" not in path.relative_to(CHART).parts and path.suffix in (".yaml", ".tpl"):
            total.update(f"{path.relative_to(CHART)}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def helm_template(helm: Path, *options: str) -> str:
    """What `helm template` prints for a release of the chart's own name.

    Raises:
        AssertionError: Helm refused, with its words.
    """
    command = [str(helm), "template", "scorestream", str(CHART), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  Helm, with our options
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(helm: Path, each: Rendering) -> str:
    """A rendering as it must be now."""
    values = ("-f", str(CHART / each.values)) if each.values else ()
    return each.text(helm_template(helm, *values))


if __name__ == "__main__":
    for one in RENDERINGS:
        one.path.parent.mkdir(parents=True, exist_ok=True)
        one.path.write_text(rendered(programs.helm(), one), "utf-8")
