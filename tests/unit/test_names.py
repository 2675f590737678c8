"""A public class of `stream/` has a name of its own, so that a name leads to one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_no_two_public_classes_have_one_name() -> None:
    files: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "stream").rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(path.relative_to(ROOT).as_posix())
    assert {name: where for name, where in files.items() if len(where) > 1} == {}
