"""ClickHouse's privileges: those that grants.sql gives to a role, and those that a statement needs.

The local engine cannot create users. The needs are those of ClickHouse's src/Interpreters (26.9). CREATE OR REPLACE
needs the right to drop. EXCHANGE needs those to read, drop, create and insert on both sides, and ON CLUSTER needs
CLUSTER.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

GRANTS = Path(__file__).parents[1] / "connectors" / "clickhouse" / "grants.sql"
# Open to everybody (src/Access/ContextAccess.cpp).
_OPEN = {"system.tables", "system.columns", "system.databases", "system.settings", "system.one"}
_NAME = r"`?([\w.]+?)`?"
_TABLE = r"`?(\w+)`?\.`?(\w+)`?"
_PARTS = {"ALTER TABLE": {"ALTER SETTINGS", "ALTER MODIFY COMMENT"}}  # what a privilege of this file contains


class Privilege(NamedTuple):
    """A privilege on a table, `database.table`; in a grant either may have a `*`."""

    name: str
    on: str


def granted(role: str, text: str = "") -> set[Privilege]:
    """All that a role has, also by the roles that it has."""
    text = re.sub(r"--[^\n]*", "", text or GRANTS.read_text("utf-8"))
    found: set[Privilege] = set()
    for names, on in re.findall(rf"GRANT ([A-Z ,]+) ON (\S+) TO {role};", text):
        for name in (each.strip() for each in names.split(",")):
            found |= {Privilege(part, on) for part in {name, *_PARTS.get(name, set())}}
    for inner in re.findall(rf"GRANT (scorestream_\w+) TO {role};", text):
        found |= granted(inner, text)
    return found


def lacking(role: str, statement: str, *, database: str) -> set[Privilege]:
    """What a role would need for a statement and has not; `database` stands for `scorestream` in the grants."""
    has = granted(role)
    own = {each._replace(on=re.sub(rf"^{database}(?=\w*\.)", "scorestream", each.on)) for each in required(statement)}
    return {each for each in own if not any(_covers(held, each) for held in has)}


def required(statement: str) -> set[Privilege]:
    """What a statement takes."""
    sql = " ".join(statement.split())
    found = {Privilege("CLUSTER", "*.*")} if " ON CLUSTER " in sql else set()
    sql = re.sub(r" ON CLUSTER `?\w+`?", "", sql)
    if match := re.match(rf"CREATE DATABASE (?:IF NOT EXISTS )?{_NAME}(?: |$)", sql):
        return found | {Privilege("CREATE DATABASE", f"{match[1]}.*")}
    if match := re.match(rf"DROP DATABASE (?:IF EXISTS )?{_NAME}(?: |$)", sql):
        return found | {Privilege(name, f"{match[1]}.*") for name in ("DROP DATABASE", "DROP TABLE", "DROP VIEW")}
    if match := re.match(rf"CREATE TABLE (?:IF NOT EXISTS )?{_TABLE}", sql):
        engine = re.search(r"ENGINE = (\w+)", sql)
        assert engine is not None
        return found | {Privilege("CREATE TABLE", ".".join(match.groups())), Privilege("TABLE ENGINE", engine[1])}
    if match := re.match(rf"CREATE OR REPLACE VIEW {_TABLE}", sql):
        name = ".".join(match.groups())
        return found | {Privilege("CREATE VIEW", name), Privilege("DROP VIEW", name)} | _reads(sql)
    if match := re.match(rf"ALTER TABLE {_TABLE} (MODIFY|RESET) (SETTING|COMMENT)", sql):
        kind = "ALTER SETTINGS" if match[4] == "SETTING" else "ALTER MODIFY COMMENT"
        return found | {Privilege(kind, f"{match[1]}.{match[2]}")}
    if sql.startswith("EXCHANGE TABLES"):
        names = {".".join(pair) for pair in re.findall(_TABLE, sql)}
        rights = ("SELECT", "DROP TABLE", "CREATE TABLE", "INSERT")
        return found | {Privilege(right, name) for name in names for right in rights}
    if match := re.match(rf"INSERT INTO {_TABLE}", sql):
        return found | {Privilege("INSERT", ".".join(match.groups()))}
    assert re.match(r"(WITH|SELECT|\()", sql), f"a kind of statement that this model does not know: {sql[:200]}"
    return found | _reads(sql)


def _reads(sql: str) -> set[Privilege]:
    names = {".".join(pair) for pair in re.findall(rf"(?:FROM|JOIN) {_TABLE}", sql)} - _OPEN
    policies = {Privilege("SHOW ROW POLICIES", "*.*")} if "system.row_policies" in names else set()
    return policies | {Privilege("SELECT", name) for name in names - {"system.row_policies"}}


def _covers(held: Privilege, wanted: Privilege) -> bool:
    return held.name == wanted.name and fnmatchcase(wanted.on, held.on)
