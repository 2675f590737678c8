"""Imports point one way: errors, then the pure core, then the pipeline, then entry points; adapters stand apart."""

from __future__ import annotations

import ast
from pathlib import Path

STREAM = Path(__file__).parent.parent.parent / "stream"
CORE = {
    "errors", "tables", "ordering", "placement", "values", "envelope", "ledger", "batch", "transform", "reindex",
    "upserts", "moves", "dead_letters", "offsets", "dead_letter_guard", "together",
}  # fmt: skip
ADAPTERS = {"kafka", "postgres", "clickhouse", "connect"}
PARTS = {"postgres": {"row_versions"}}  # what an adapter is divided into
OUTSIDE = {"psycopg", "confluent_kafka", "clickhouse_connect", "faust", "aiokafka", "urllib3", "click", "rich", "time"}


def _imports(name: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((STREAM / f"{name}.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def _of_stream(name: str) -> set[str]:
    return {each.split(".")[1] for each in _imports(name) if each.startswith("stream.")}


def test_the_core_imports_nothing_but_the_core() -> None:
    for name in CORE:
        assert _of_stream(name) <= CORE, name
        assert not {each.split(".")[0] for each in _imports(name)} & OUTSIDE, name


def test_the_pipeline_knows_no_client() -> None:
    assert _of_stream("pipeline") <= CORE
    assert not {each.split(".")[0] for each in _imports("pipeline")} & (OUTSIDE - {"time"})


def test_adapters_know_neither_each_other_nor_the_pipeline() -> None:
    for name in ADAPTERS:
        parts = PARTS.get(name, set())
        assert _of_stream(name) <= CORE | {"config"} | parts, name
        assert all(_of_stream(part) <= CORE for part in parts), name


def test_nobody_imports_an_entry_point() -> None:
    entry_points = {"worker", "replay", "rewind", "cutover", "verify", "backfill", "monitor"}
    for path in STREAM.glob("*.py"):
        if path.stem not in entry_points | {"cli"} and path.stem in CORE | ADAPTERS | {"pipeline", "clients", "config"}:
            assert not _of_stream(path.stem) & entry_points, path.stem
