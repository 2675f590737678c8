"""What corrects a table that is not as the DDL makes it."""

from __future__ import annotations

import pytest

from stream.clickhouse.schema.apply import Difference
from stream.doctor import tables


@pytest.mark.parametrize(
    ("name", "fault", "check", "severity", "way_out"),
    [
        ("score", "missing", "table-differs", "error", "scorestream schema apply"),
        ("score", "sort key (x), not (y)", "table-differs", "error", "docs/guides/upgrade.md"),
        ("score.comment", "missing (Nullable(String))", "column-differs", "error",
         "ALTER TABLE `qa`.`score` ADD COLUMN `comment` Nullable(String);"),
        ("score.comment", "type Int8, not Nullable(String)", "column-differs", "error",
         "ALTER TABLE `qa`.`score` MODIFY COLUMN `comment` Nullable(String);"),
        ("score.more", "extra (Int8)", "column-extra", "warning", "ALTER TABLE `qa`.`score` DROP COLUMN `more`;"),
        ("score_current.comment", "missing (Nullable(String))", "table-differs", "error", "scorestream schema apply"),
        ("score", "row policy p hides rows from this user", "row-policy", "error",
         "ALTER ROW POLICY p ON qa.score TO ALL EXCEPT writer;"),
        ("score", "row policy p hides rows from other users", "row-policy", "warning",
         "ALTER ROW POLICY p ON qa.score TO ALL EXCEPT writer;"),
        ("score", "its comment does not say `scorestream shard 1 of 2`", "shard-unmarked", "warning", "schema apply"),
        ("score", "its comment says `shard 0`, not `shard 1`", "shard-other", "error", "_SHARDS in the order"),
    ],
)  # fmt: skip
def test_a_difference_from_the_ddl_has_its_statement(
    name: str, fault: str, check: str, severity: str, way_out: str
) -> None:
    finding = tables.finding(
        Difference(1, name, fault), where="ClickHouse shard 1 (http://c1)", database="qa", user="writer"
    )
    assert (finding.id, finding.severity) == (check, severity)
    assert finding.what == f"ClickHouse shard 1 (http://c1): qa.{name}: {fault}"
    assert way_out in finding.way_out
