"""What the preflight says for what the catalogs answer; the queries themselves are tried in tests/integration."""

from __future__ import annotations

from typing import Any

from stream.config import PostgresSettings
from stream.postgres import preflight
from stream.postgres.preflight import Fault
from stream.tables import HEARTBEAT, HORIZON, SIGNAL, SOURCES

PUBLISHED = (*SOURCES, SIGNAL, HEARTBEAT)


class Rows(list[tuple[Any, ...]]):
    """What psycopg's cursor gives."""

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self)


class Catalogs:
    """A source that lacks nothing. A test changes one answer: a part of the query -> its rows."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[Any, ...]]] = {
            "SHOW wal_level": [("logical",)],
            "SHOW max_slot_wal_keep_size": [("10GB",)],
            "c.relname, c.relreplident": [(table, "f") for table in (*PUBLISHED, HORIZON)],
            "FROM pg_publication ": [(True,)],
            "FROM pg_publication_tables": [(table,) for table in PUBLISHED],
            "relrowsecurity": [],
            "pg_partition_tree": [],
            "FROM pg_attribute": [],
            "FROM pg_trigger t JOIN": [(table,) for table in SOURCES],
            "FROM pg_index": [(1,)],
        }

    def execute(self, query: str, _values: object = None) -> Rows:
        found = [rows for part, rows in self.answers.items() if part in query]
        assert len(found) == 1, query
        return Rows(found[0])

    def faults(self) -> list[Fault]:
        return preflight.faults(self, PostgresSettings())  # type: ignore[arg-type]


def test_a_source_that_lacks_nothing_has_no_fault() -> None:
    assert Catalogs().faults() == []


def test_row_level_security_is_an_error_of_each_role_that_it_hides_rows_from() -> None:
    catalogs = Catalogs()
    catalogs.answers["relrowsecurity"] = [("scorestream_cdc", ["scores"]), ('odd"one', ["chats", "scores"])]
    assert catalogs.faults() == [
        Fault(
            True,
            "row level security of scores hides rows from scorestream_cdc",
            'ALTER ROLE "scorestream_cdc" BYPASSRLS;',
        ),
        Fault(True, 'row level security of chats, scores hides rows from odd"one', 'ALTER ROLE "odd""one" BYPASSRLS;'),
    ]


def test_wal_without_a_limit_is_a_warning() -> None:
    catalogs = Catalogs()
    catalogs.answers["SHOW max_slot_wal_keep_size"] = [("-1",)]
    (fault,) = catalogs.faults()
    assert not fault.must
    assert "fills the disk" in fault.what
    assert fault.sql == "ALTER SYSTEM SET max_slot_wal_keep_size = '100GB'; SELECT pg_reload_conf();"


def test_each_partition_is_named_with_its_sql() -> None:
    catalogs = Catalogs()
    catalogs.answers["pg_partition_tree"] = [
        ("scores", "app.scores_1", "d", True),
        ("scores", 'app."Scores 2"', "f", False),
        ("scores", "app.scores_3", "f", True),
    ]
    identity, trigger = catalogs.faults()
    assert identity == Fault(
        True,
        "partition app.scores_1 of scores has no whole before-images",
        "ALTER TABLE app.scores_1 REPLICA IDENTITY FULL;",
    )
    assert not trigger.must
    assert 'a TRUNCATE of partition app."Scores 2"' in trigger.what
    assert trigger.sql == (
        'CREATE TRIGGER scorestream_truncate BEFORE TRUNCATE ON app."Scores 2" '
        'FOR EACH STATEMENT EXECUTE FUNCTION "app".scorestream_delete_first();'
    )


def test_a_column_of_a_type_that_is_not_carried_is_named() -> None:
    catalogs = Catalogs()
    catalogs.answers["FROM pg_attribute"] = [
        ("scorecards", "comment", "mood", True),  # an enum
        ("scorecards", "score", "numeric", False),
        ("scores", "numeric_value", "money", False),
        ("scores", "not_ours", "bytea", False),
        ("chats", "started_at", "timetz", False),
    ]
    assert [(fault.must, fault.what.split(",")[0]) for fault in catalogs.faults()] == [
        (True, "scores.numeric_value is of type money"),
        (True, "chats.started_at is of type timetz"),
    ]
