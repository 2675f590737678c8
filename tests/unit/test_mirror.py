"""Each file of `stream/` has a unit test file in its place, or is named here with the test that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DECLARATIONS = "declarations only: the tests of their readers fail when one is wrong"
# File -> the test that runs it, where a unit test would only repeat what it says or fake all that it calls.
ELSEWHERE = {
    "backfill/counts.py": "tests/e2e/test_backfill.py",
    "backfill/state.py": "tests/unit/backfill/test_status.py",
    "clickhouse/sharding.py": "tests/unit/clickhouse/test_target.py",
    "clickhouse/read_back.py": "tests/unit/clickhouse/test_target.py",
    "clickhouse/schema/layout.py": "tests/unit/clickhouse/schema/test_look.py",
    "clickhouse/schema/policies.py": "tests/unit/monitor/test_hidden.py",
    "clickhouse/source_record.py": "tests/unit/live/test_source_check.py",
    "clickhouse/quorum_turn.py": "tests/unit/clickhouse/test_replicas.py",
    "commands/backfill.py": "tests/e2e/test_backfill.py",
    "commands/cutover.py": "tests/e2e/test_cutover.py",
    "commands/dead_letters.py": "tests/e2e/test_dead_letters.py",
    "commands/dry_run.py": "tests/e2e/test_replay.py",
    "commands/explain.py": "tests/e2e/test_verify_live.py",
    "commands/lag.py": "tests/e2e/test_lag.py",
    "commands/monitor.py": "tests/e2e/test_lag.py",
    "commands/purge.py": "tests/e2e/test_purge.py",
    "commands/recover.py": "tests/e2e/test_recover.py",
    "commands/reindex.py": "tests/e2e/test_purge.py",
    "commands/replay.py": "tests/unit/commands/test_options.py",
    "commands/rewind.py": "tests/e2e/test_rewind.py",
    "commands/status.py": "tests/e2e/test_guides.py",
    "commands/verify.py": "tests/e2e/test_verify_live.py",
    "doctor/finding.py": "tests/unit/doctor/test_all_checks.py",
    "errors.py": DECLARATIONS,
    "interpreter.py": "tests/e2e/test_main_job.py",
    "kafka/client.py": "tests/e2e/test_main_job.py",
    "kafka/topic_partition.py": DECLARATIONS,
    "kafka/waiting_message.py": DECLARATIONS,
    "live/limits.py": "tests/unit/live/test_build.py",
    "metrics.py": "tests/unit/monitor/test_exposition.py",
    "monitor/finding.py": "tests/unit/monitor/test_diagnosis.py",
    "monitor/wiring.py": "tests/e2e/test_lag.py",
    "pipeline/envelope.py": "tests/unit/pipeline/test_decoder.py",
    "pipeline/fetched.py": DECLARATIONS,
    "pipeline/plan.py": "tests/unit/pipeline/test_upserts.py",
    "pipeline/ports.py": DECLARATIONS,
    "pipeline/prepare.py": "tests/unit/pipeline/test_pipeline.py",
    "pipeline/stored.py": DECLARATIONS,
    "postgres/cluster.py": "tests/unit/live/test_source_check.py",
    "postgres/publication.py": "tests/e2e/test_recover.py",
    "postgres/replication.py": "tests/e2e/test_recover.py",
    "recover/facts.py": "tests/unit/recover/test_plan.py",
    "recover/findings.py": "tests/unit/recover/test_plan.py",
    "replay/lanes.py": "tests/unit/postgres/test_lock.py",
    "settings_sections.py": "tests/unit/test_config.py",
    "stores.py": DECLARATIONS,
    "tables.py": "tests/unit/clickhouse/schema/test_apply.py",
    "verify/checksums.py": "tests/integration/verify/test_verifier.py",
    "verify/last_messages.py": "tests/e2e/test_verify_live.py",
    "verify/progress.py": "tests/integration/verify/test_verifier.py",
    "verify/repair.py": "tests/integration/verify/test_verifier.py",
    "verify/row_states.py": "tests/unit/verify/test_findings.py",
}
FILES = sorted(
    str(path.relative_to(ROOT / "stream")) for path in (ROOT / "stream").rglob("*.py") if path.name != "__init__.py"
)


def mirrored(file: str) -> Path:
    path = Path(file)
    return ROOT / "tests" / "unit" / path.parent / f"test_{path.name}"


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_its_tests_in_its_place_or_is_named_with_those_that_run_it(file: str) -> None:
    assert mirrored(file).exists() != (file in ELSEWHERE), f"{file}: write {mirrored(file).relative_to(ROOT)}"


def test_what_the_list_names_exists() -> None:
    assert not set(ELSEWHERE) - set(FILES)
    assert not [where for where in ELSEWHERE.values() if where != DECLARATIONS and not (ROOT / where).exists()]
