"""The tables of a shard against the DDL: each difference that `scorestream schema status` shows, with its statement.

Enters: differences. Leaves: findings. Pure.
"""

from __future__ import annotations

import re

from stream.clickhouse.schema.apply import Difference
from stream.doctor.finding import ERROR, WARNING, Checks, DoctorFinding

CHECKS = Checks("clickhouse")
TABLE = CHECKS.add(
    "table-differs",
    ERROR,
    "a table or view is missing, or its engine or keys are not those of the DDL",
    "inserts are refused, or readers see old states",
    "scorestream schema apply",
)
COLUMN = CHECKS.add(
    "column-differs",
    ERROR,
    "a column is missing or has another type than the DDL gives it",
    "inserts are refused, and the workers stand still",
)
EXTRA = CHECKS.add(
    "column-extra",
    WARNING,
    "a table or view has a column that the DDL does not know",
    "the workers fill it with its default, and a cutover loses it",
)
SHARD = CHECKS.add(
    "shard-other",
    ERROR,
    "the tables say that they are another shard than SCORESTREAM_CLICKHOUSE_SHARDS makes them",
    "changes are written to a shard where their earlier state does not lie, and rows are shown twice",
    "give SCORESTREAM_CLICKHOUSE_SHARDS in the order and number that the tables say (docs/guides/upgrade.md)",
)
UNMARKED = CHECKS.add(
    "shard-unmarked",
    WARNING,
    "the tables do not say which shard they are",
    "a shard that is added or swapped in the settings is not noticed",
    "scorestream schema apply",
)
POLICY = CHECKS.add(
    "row-policy",
    ERROR,
    "a row policy hides rows of a table",
    "a look-up misses what stands, and an appeal or a deleted row stays visible",
)


def finding(difference: Difference, *, where: str, database: str, user: str) -> DoctorFinding:
    """A difference of `scorestream schema status`, with its way out.

    Args:
        where: the shard, for texts.
        user: as which this program reads and writes.
    """
    name, fault = difference.name, difference.fault
    what = f"{where}: {database}.{name}: {fault}"
    table, _, column = name.partition(".")
    if fault.startswith("row policy"):
        policy = fault.split()[2]
        on = f"{database}.{table}"
        sql = f"ALTER ROW POLICY {policy} ON {on} TO ALL EXCEPT {user};"
        return POLICY.found(what, sql, severity=None if fault.endswith("this user") else WARNING)
    if "comment" in fault and not column:
        return (UNMARKED if "does not say" in fault else SHARD).found(what)
    if not column or table.endswith("_current"):
        upgrade = "docs/guides/upgrade.md: fill new tables with a replay, and cut over"
        return TABLE.found(what, "" if fault == "missing" or column else upgrade)
    whole = f"`{database}`.`{table}`"
    if fault.startswith("extra"):
        return EXTRA.found(what, f"ALTER TABLE {whole} DROP COLUMN `{column}`;")
    if found := re.fullmatch(r"missing \((.*)\)", fault):
        return COLUMN.found(what, f"ALTER TABLE {whole} ADD COLUMN `{column}` {found[1]};")
    return COLUMN.found(what, f"ALTER TABLE {whole} MODIFY COLUMN `{column}` {fault.rpartition(', not ')[2]};")
