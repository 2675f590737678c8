"""The findings for made-up answers of the catalogs; tests/integration and tests/e2e try the queries themselves."""

from __future__ import annotations

import pytest

from stream.config import PostgresSettings
from stream.doctor import source
from stream.doctor.finding import DoctorFinding
from tests.unit.doctor.catalogs import COLUMNS, PUBLISHED, Catalogs


def found(catalogs: Catalogs) -> list[DoctorFinding]:
    return source.examine(catalogs, PostgresSettings())  # type: ignore[arg-type]


def test_a_source_that_lacks_nothing_has_no_finding() -> None:
    assert found(Catalogs()) == []


@pytest.mark.parametrize(
    ("part", "rows", "check", "sql"),
    [
        (
            "FROM pg_publication ",
            [],
            "publication-missing",
            'CREATE PUBLICATION "scorestream" FOR TABLE "app"."chats", "app"."scorecards", "app"."scores", '
            '"app"."scorestream_signal", "app"."scorestream_heartbeat" '
            "WITH (publish = 'insert, update, delete', publish_via_partition_root = true);",
        ),
        (
            "FROM pg_publication ",
            [(False, True)],
            "publication-operations",
            "ALTER PUBLICATION \"scorestream\" SET (publish = 'insert, update, delete');",
        ),
        (
            "FROM pg_publication ",
            [(True, False)],
            "publication-root",
            'ALTER PUBLICATION "scorestream" SET (publish_via_partition_root = true);',
        ),
        (
            "FROM pg_publication_tables",
            [(table,) for table in PUBLISHED if table != "scores"],
            "publication-table",
            'ALTER PUBLICATION "scorestream" ADD TABLE "app"."scores";',
        ),
        (
            "FROM pg_trigger t JOIN",
            [("chats", True), ("scorecards", True), ("scores", False)],
            "truncate-trigger",
            'ALTER TABLE "app"."scores" ENABLE TRIGGER scorestream_truncate;',
        ),
        (
            "FROM pg_trigger t JOIN",
            [("chats", True), ("scorecards", True)],
            "truncate-trigger",
            'CREATE TRIGGER scorestream_truncate BEFORE TRUNCATE ON "app"."scores" '
            'FOR EACH STATEMENT EXECUTE FUNCTION "app".scorestream_delete_first();',
        ),
        (
            "FROM pg_attribute",
            [row for key, row in COLUMNS.items() if key != ("scores", "criterion_id")],
            "column-missing",
            'ALTER TABLE "app"."scores" RENAME COLUMN .. TO "criterion_id";',
        ),
        (
            "FROM pg_attribute",
            [*(row for key, row in COLUMNS.items() if key[1] != "criterion_id"), ("scores", "c2", "uuid", False)],
            "column-missing",
            'ALTER TABLE "app"."scores" RENAME COLUMN "c2" TO "criterion_id";',
        ),
    ],
)
def test_a_fault_has_its_sql(part: str, rows: list[tuple[object, ...]], check: str, sql: str) -> None:
    catalogs = Catalogs()
    catalogs.answers[part] = rows
    (finding,) = found(catalogs)
    assert (finding.id, finding.way_out) == (check, sql)


def test_a_table_that_is_gone_is_told_once() -> None:
    catalogs = Catalogs()
    catalogs.answers["c.relname, c.relreplident"] = [
        row for row in catalogs.answers["c.relname, c.relreplident"] if row[0] != "scores"
    ]
    catalogs.answers["FROM pg_attribute"] = [row for key, row in COLUMNS.items() if key[0] != "scores"]
    assert [(each.id, each.what) for each in found(catalogs)] == [("table-missing", "no table app.scores")]
    assert found(catalogs)[0].way_out == "psql -h db -p 5432 -U postgres -d qa -f connectors/source/0002_cdc.sql"


def test_each_table_and_each_index_is_told() -> None:
    catalogs = Catalogs()
    catalogs.answers["c.relname, c.relreplident"] = [
        (name, "d" if name == "scores" else how) for name, how in catalogs.answers["c.relname, c.relreplident"]
    ]
    catalogs.answers["FROM pg_index"] = []
    identity, *indexes = found(catalogs)
    assert (identity.id, identity.way_out) == ("replica-identity", 'ALTER TABLE "app"."scores" REPLICA IDENTITY FULL;')
    assert [each.way_out for each in indexes] == [
        'CREATE INDEX CONCURRENTLY ON "app"."scorecards" ("conversation_id");',
        'CREATE INDEX CONCURRENTLY ON "app"."scores" ("scorecard_id");',
    ]
    assert {each.severity for each in indexes} == {"warning"}


def test_each_partition_is_named_with_its_sql() -> None:
    catalogs = Catalogs()
    catalogs.answers["pg_partition_tree(c.oid)"] = [
        ("scores", "app.scores_1", "d", True),
        ("scores", 'app."Scores 2"', "f", False),
        ("scores", "app.scores_3", "f", True),
    ]
    identity, trigger = found(catalogs)
    assert identity.what == "partition app.scores_1 of scores has no whole before-images"
    assert identity.way_out == "ALTER TABLE app.scores_1 REPLICA IDENTITY FULL;"
    assert trigger.severity == "warning"
    assert 'a TRUNCATE of partition app."Scores 2"' in trigger.what
    assert 'BEFORE TRUNCATE ON app."Scores 2" ' in trigger.way_out


def test_a_column_of_a_type_that_is_not_carried_is_named() -> None:
    catalogs = Catalogs()
    catalogs.answers["FROM pg_attribute"] = [
        *(
            COLUMNS
            | {
                ("scorecards", "comment"): ("scorecards", "comment", "mood", True),  # an enum
                ("scorecards", "score"): ("scorecards", "score", "numeric", False),
                ("scores", "numeric_value"): ("scores", "numeric_value", "money", False),
                ("chats", "started_at"): ("chats", "started_at", "timetz", False),
            }
        ).values(),
        ("scores", "not_ours", "bytea", False),
    ]
    assert [(each.id, each.what.split(",")[0]) for each in found(catalogs)] == [
        ("type-not-carried", "scores.numeric_value is of type money"),
        ("type-not-carried", "chats.started_at is of type timetz"),
    ]
