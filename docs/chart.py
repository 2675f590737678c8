"""The Helm chart's README.md and values.schema.json, made from its values.yaml and from the settings.

Enters: deploy/helm/scorestream/values.yaml, in which a comment `# --` above a key says what the value means; the names
of the settings. Leaves: the text of both files. `make docs` writes them, and a test fails while they differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stream.config import PREFIX, known_variables, secret_variables

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "scorestream"
_COMMENT = re.compile(r" *# -- (.+)")

_README = """# The Helm chart of scorestream

<!-- Made by `make docs` from deploy/helm/scorestream/values.yaml and docs/chart.py: change it there. -->

The chart runs live workers, the monitor and `verify --watch`, and applies tables, topics and connector before each
install and upgrade. `docs/guides/kubernetes.md` goes through it step by step.

```console
$ helm install scorestream deploy/helm/scorestream -f my-values.yaml
```

A name below `settings` that is no setting, and a secret that stands there in the clear, are refused before anything
is applied (values.schema.json).

"""


class Value(NamedTuple):
    """One documented key of values.yaml: its path, its default, and what it means."""

    path: tuple[str, ...]
    default: Any
    meaning: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


def values() -> list[Value]:
    """Every documented key, in the order of the file."""
    text = (CHART / "values.yaml").read_text("utf-8")
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    assert isinstance(root, yaml.MappingNode)
    return list(_documented(loader, root, text.splitlines(), ()))


def _documented(
    loader: yaml.SafeLoader, node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]
) -> Iterator[Value]:
    for key, value in node.value:
        own = (*path, key.value)
        comment = _COMMENT.fullmatch(lines[key.start_mark.line - 1]) if key.start_mark.line else None
        if comment:
            yield Value(own, loader.construct_object(value, deep=True), comment[1])
        elif isinstance(value, yaml.MappingNode):
            yield from _documented(loader, value, lines, own)
        else:
            raise ValueError(f"values.yaml: {'.'.join(own)} has no comment `# --`")


# --- README.md --------------------------------------------------------------------------------------------------------


def readme() -> str:
    """The table of all values, below some words."""
    rows = [f"| `{each.name}` | {_shown(each.default)} | {each.meaning} |" for each in values()]
    return _README + "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _shown(default: Any) -> str:
    return "" if default in ("", None) else f"`{json.dumps(default)}`".replace("|", "\\|")


# --- values.schema.json -----------------------------------------------------------------------------------------------

# What a default cannot say.
_NARROWER: dict[str, dict[str, Any]] = {
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "imagePullSecrets": {"items": {"type": "string"}},
    "secrets.as": {"enum": ["files", "env"]},
    "files": {"items": {"$ref": "#/$defs/file"}},
    "worker.replicas": {"minimum": 0},
    "worker.podDisruptionBudget.maxUnavailable": {"minimum": 1},
    "verify.every": {"pattern": "^[0-9]+(\\.[0-9]+)?(s|m|h|d)$"},
    "run.args": {"items": {"type": "string"}},
    "run.name": {"pattern": "^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$"},
    "run.parallelism": {"minimum": 1},
    "runAsUser": {"minimum": 1},
    "probes.timeoutSeconds": {"minimum": 1},
    "probes.startupSeconds": {"minimum": 5},
    "probes.livenessFailures": {"minimum": 1},
    "networkPolicy.ingressFrom": {"items": {"type": "object"}},
    "networkPolicy.egressTo": {"items": {"type": "object"}},
    "networkPolicy.egressPorts": {"items": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "strimzi.topics.replicas": {"minimum": 1},
    "strimzi.topics.minInsyncReplicas": {"minimum": 0},
    "strimzi.users.authentication": {"enum": ["scram-sha-512", "tls"]},
    "strimzi.connect.replicas": {"minimum": 1},
    "strimzi.connect.database.passwordSecret": {
        "required": ["name", "key"],
        "properties": {"name": {"type": "string"}, "key": {"type": "string"}},
        "additionalProperties": False,
    },
    "autoscaling.minReplicas": {"minimum": 1},
    "autoscaling.lagSeconds": {"exclusiveMinimum": 0},
}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def schema() -> str:
    """A JSON schema that knows every value, every setting and every secret; nothing else passes."""
    root: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by `make docs` from values.yaml and docs/chart.py: change it there.",
        "$defs": _definitions(),
    }
    _closed(root)["global"] = {"type": "object"}  # Helm's own
    for each in values():
        inside = root
        for part in each.path[:-1]:
            inside = _closed(inside).setdefault(part, {})
        _closed(inside)[each.path[-1]] = {"description": each.meaning} | _kind(each)
    return json.dumps(root, indent=2) + "\n"


def _closed(node: dict[str, Any]) -> dict[str, Any]:
    """The properties of an object that has no others."""
    node.setdefault("type", "object")
    node.setdefault("additionalProperties", False)
    properties: dict[str, Any] = node.setdefault("properties", {})
    return properties


def _kind(value: Value) -> dict[str, Any]:
    if value.name == "secrets.settings" or value.path[-1] == "secrets":
        return {"$ref": "#/$defs/secrets"}
    if value.path[-1] == "settings":
        return {"$ref": "#/$defs/settings"}
    if value.path[-1] == "resources":
        return {"$ref": "#/$defs/resources"}
    return {"type": _TYPES[type(value.default)]} | _NARROWER.get(value.name, {})


def _definitions() -> dict[str, Any]:
    secrets = secret_variables()
    files = {f"{name}_FILE" for name in secrets}
    plain = sorted(known_variables() - secrets - files - {PREFIX + "CONFIG"})
    text = {"type": "string", "minLength": 1}
    amounts = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
    return {
        "settings": {
            "type": "object",
            "propertyNames": {"enum": plain},
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
        "secrets": {
            "type": "object",
            "propertyNames": {"enum": sorted(secrets)},
            "additionalProperties": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": text, "key": text},
            },
        },
        "file": {
            "type": "object",
            "required": ["name", "secret"],
            "additionalProperties": False,
            "properties": {"name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}, "secret": text},
        },
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"requests": amounts, "limits": amounts},
        },
    }


def files() -> dict[Path, str]:
    """Path -> its whole text."""
    return {CHART / "README.md": readme(), CHART / "values.schema.json": schema()}
