"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from stream.cli import COMMANDS
from stream.config_table import filled

ROOT = Path(__file__).parent.parent.parent


def test_the_table_of_settings_is_that_of_the_code() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text == filled(text), "run: python -m stream.config_table"


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    missing = [name for name in COMMANDS if f"scorestream {name}" not in text]
    assert not missing


def test_every_make_target_of_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    targets |= {"up", "down", "clean", "status", "test", "unit", "check", "bench-live", "bench-catchup"}
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"(?:`|\$ )make ([a-z-]+)", document.read_text("utf-8")):
            assert target in targets, f"{document.name}: make {target}"


def test_files_that_documents_name_exist() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(
            r"`((?:stream|connectors|docs|tests|benchmarks)/[A-Za-z0-9_./-]+\.[a-z]+)`", document.read_text("utf-8")
        ):
            assert (ROOT / name).exists(), f"{document.name}: {name}"
