"""scorestream schema: statements and differences."""

from __future__ import annotations

import json

from stream.clickhouse.schema import apply as schema_apply


def test_schema_dry_run_prints_statements_that_a_client_can_run(run):
    code, out, _ = run("schema", "apply", "--dry-run", "--database", "shadow")
    assert code == 0
    assert [part.strip() for part in out.split(";\n") if part.strip()] == schema_apply.statements("shadow")


def test_schema_status_tells_the_differences(run, monkeypatch):
    monkeypatch.setattr(schema_apply, "status", lambda _shards: [schema_apply.Difference(1, "score.x", "extra (Int8)")])
    code, out, _ = run("schema", "status", "--json")
    assert code == 3
    assert json.loads(out)["differences"] == [{"shard": 1, "name": "score.x", "fault": "extra (Int8)"}]
    code, out, _ = run("schema", "status")
    assert code == 3
    assert "score.x" in out
