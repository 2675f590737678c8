"""The preflight names every fault of Postgres before the connector starts, each with the SQL that corrects it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.universe import ROOT, Universe

pytestmark = pytest.mark.stack


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        yield made


def test_every_fault_of_the_source_is_told_at_once_and_its_sql_mends_it(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given a source that lacks this and that
        connection.execute("ALTER TABLE app.scores REPLICA IDENTITY DEFAULT")
        connection.execute("ALTER PUBLICATION scorestream DROP TABLE app.chats")
        connection.execute("ALTER PUBLICATION scorestream SET (publish = 'insert, update')")
        connection.execute("ALTER TABLE app.scorecards DISABLE TRIGGER scorestream_truncate")
        connection.execute("DROP INDEX app.scores_scorecard_id")
        # when the connector is applied, even only tried
        done = universe.run("connectors", "apply", "--dry-run", check=False)
        # then what makes it wrong is an error, the rest a warning, and nothing else is named
        told = done.stderr.splitlines()
        assert done.returncode == 2
        assert sum(line.startswith("error: ") for line in told) == 3, told
        assert sum(line.startswith("warning: ") for line in told) == 2, told
        assert any("TRUNCATE of scorecards" in line for line in told)
        # and once the SQL of each was run, it is applied without a word of them
        for statement in re.findall(r": ((?:ALTER|CREATE) .+;)$", done.stderr, re.MULTILINE):
            connection.execute(statement)
        again = universe.run("connectors", "apply", "--dry-run")
        assert [line for line in again.stderr.splitlines() if "TRUNCATE" not in line and "valid;" not in line] == []


def test_row_level_security_stops_the_look_up_and_the_apply(universe: Universe) -> None:
    with universe.postgres() as connection:
        connection.execute("ALTER TABLE app.scorecards ENABLE ROW LEVEL SECURITY")
        try:
            done = universe.run("connectors", "apply", "--dry-run", check=False)
            # then both roles are named, each with its SQL
            assert done.returncode == 2
            hides = "error: row level security of scorecards hides rows from"
            for role in ("scorestream_cdc", "scorestream_reader"):
                assert f'{hides} {role}: ALTER ROLE "{role}" BYPASSRLS;' in done.stderr
            # and a look-up is refused, instead of finding no rows
            refused = universe.run("verify", "--no-wait", check=False)
            assert refused.returncode == 1
            assert "row-level security policy" in refused.stderr
        finally:
            connection.execute("ALTER TABLE app.scorecards DISABLE ROW LEVEL SECURITY")


def test_partitions_are_named_and_the_source_sql_covers_them(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given scores in partitions, whose table alone is as it must be
        connection.execute(
            "CREATE TABLE app.parted (LIKE app.scores INCLUDING DEFAULTS, PRIMARY KEY (score_id, updated_at)) "
            "PARTITION BY RANGE (updated_at); DROP TABLE app.scores; ALTER TABLE app.parted RENAME TO scores; "
            "CREATE INDEX ON app.scores (scorecard_id); CREATE TABLE app.scores_rest PARTITION OF app.scores DEFAULT; "
            "ALTER TABLE app.scores REPLICA IDENTITY FULL; ALTER TABLE app.scores ALTER ai_value TYPE money USING NULL"
        )
        # when the connector is applied
        done = universe.run("connectors", "apply", "--dry-run", check=False)
        # then the leaf is named with its SQL, and so is a column of a type that is not carried
        assert done.returncode == 2
        assert "ALTER TABLE app.scores_rest REPLICA IDENTITY FULL;" in done.stderr
        assert "CREATE TRIGGER scorestream_truncate BEFORE TRUNCATE ON app.scores_rest" in done.stderr
        assert "error: scores.ai_value is of type money, which is not carried" in done.stderr
        # and nothing is left to say once the source SQL has run again, and the column is of another type
        connection.execute((ROOT / "connectors/source/0002_cdc.sql").read_bytes())
        connection.execute("ALTER TABLE app.scores ALTER ai_value TYPE float8 USING NULL")
        again = universe.run("connectors", "apply", "--dry-run")
        assert [line for line in again.stderr.splitlines() if "valid;" not in line] == []


def test_without_the_source_sql_each_table_is_named(universe: Universe) -> None:
    with universe.postgres() as connection:
        connection.execute("DROP PUBLICATION scorestream; DROP TABLE app.scorestream_signal")
    done = universe.run("connectors", "apply", check=False)
    assert done.returncode == 2
    assert "error: no table app.scorestream_signal: psql -h 127.0.0.1 -p " in done.stderr
    assert 'error: no publication scorestream: CREATE PUBLICATION "scorestream" FOR TABLE ' in done.stderr
