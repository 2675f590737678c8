"""grants.sql covers the DDL of `schema apply`, of a shadow and of a cutover, also ON CLUSTER, and no role has too much.

What the commands send to real shards is recorded in tests/integration/clickhouse/test_grants.py.
"""

from __future__ import annotations

import re

import pytest

from stream.clickhouse.schema.apply import statements
from stream.cutover.shadow_tables import ShadowTables
from tests.privileges import GRANTS, Privilege, granted, lacking, required
from tests.unit.cutover.test_shadow_tables import FakeShards

ROLES = {f"scorestream_{name}_role" for name in ("writer", "owner", "operator", "reader")}


@pytest.mark.parametrize("cluster", [None, "main"])
def test_the_owner_applies_the_schema_and_the_operator_a_shadow(cluster: str | None) -> None:
    for database, role in (("scorestream", "owner"), ("scorestream_green", "operator")):
        comment = f"ALTER TABLE `{database}`.`score` MODIFY COMMENT 'scorestream shard 0 of 1, buckets of 1 days'"
        for statement in (*statements(database, cluster), comment):
            assert not lacking(f"scorestream_{role}_role", statement, database="scorestream"), statement


def test_the_operator_holds_exchanges_lets_go_and_drops() -> None:
    shards = FakeShards()
    for cluster in (None, "main"):
        tables = ShadowTables(shards, live="live", shadow="green", cluster=cluster)  # type: ignore[arg-type]
        before = tables.uuids("live")
        tables.hold("live")
        tables.exchange(before)
        tables.let_go("live", "green")
        tables.drop("green")
    sent = [
        sql.replace("`live`", "`scorestream`").replace("`green`", "`scorestream_green`") for _, sql in shards.statements
    ]
    assert {re.match(r"[A-Z]+", sql)[0] for sql in sent} == {"ALTER", "EXCHANGE", "DROP"}  # type: ignore[index]
    for statement in sent:
        assert not lacking("scorestream_operator_role", statement, database="scorestream"), statement
        assert lacking("scorestream_writer_role", statement, database="scorestream"), statement


def test_an_operator_has_nothing_outside_of_the_live_database_and_its_shadows() -> None:
    assert lacking("scorestream_operator_role", "DROP DATABASE `billing`", database="scorestream")
    assert lacking("scorestream_owner_role", "DROP DATABASE `scorestream`", database="scorestream")
    assert granted("scorestream_reader_role") == {Privilege("SELECT", "scorestream.*")}


def test_every_role_has_a_user_that_cannot_log_in_yet() -> None:
    text = GRANTS.read_text("utf-8")
    assert set(re.findall(r"CREATE ROLE IF NOT EXISTS (\w+);", text)) == ROLES
    users = dict(re.findall(r"CREATE USER IF NOT EXISTS (\w+) HOST NONE DEFAULT ROLE (\w+)", text))
    assert set(users.values()) == ROLES
    for user, role in users.items():
        assert f"GRANT {role} TO {user};" in text


def test_a_statement_that_the_model_does_not_know_fails_a_test() -> None:
    assert required("SELECT 1 FROM `d`.`score` FINAL") == {Privilege("SELECT", "d.score")}
    with pytest.raises(AssertionError, match="does not know"):
        required("OPTIMIZE TABLE d.score FINAL")
