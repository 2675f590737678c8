"""The server, the slot, and what holds the slot back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from stream.config import PostgresSettings
from stream.doctor import postgres, sessions
from stream.doctor.finding import RECOVER, DoctorFinding
from stream.errors import PostgresTimeout
from tests.unit.doctor.catalogs import Catalogs, server, slot


class Store:
    """The store, whose sessions are the fake connection."""

    def __init__(self, catalogs: Catalogs) -> None:
        self._catalogs = catalogs

    @contextmanager
    def session(self) -> Iterator[Catalogs]:
        yield self._catalogs


def found(catalogs: Catalogs, *, standby: bool = False) -> list[DoctorFinding]:
    settings = PostgresSettings(standby=standby)
    return list(postgres.examine(Store(catalogs), settings, transaction_s=600))  # type: ignore[arg-type]


def test_a_server_that_lacks_nothing_has_no_finding() -> None:
    assert found(Catalogs()) == []


@pytest.mark.parametrize(
    ("changed", "check", "severity", "way_out"),
    [
        ({"version": 130010, "version_text": "13.10"}, "postgres-version", "warning", "upgrade"),
        ({"wal_level": "replica"}, "wal-level", "error", "ALTER SYSTEM SET wal_level = 'logical';"),
        ({"keep": "-1"}, "wal-unlimited", "warning", "ALTER SYSTEM SET max_slot_wal_keep_size = '100GB';"),
        ({"idle_timeout": "1h"}, "slot-idle-timeout", "warning", "idle_replication_slot_timeout = 0;"),
        (
            {"standby_slots": ["a", "b"], "waited_for": "a"},
            "slot-runs-ahead",
            "hint",
            "ALTER SYSTEM SET synchronized_standby_slots = 'a,b'; SELECT pg_reload_conf();",
        ),
        ({"in_recovery": True}, "postgres-standby", "error", "target_session_attrs=read-write"),
    ],
)
def test_a_fault_of_the_server(changed: dict[str, Any], check: str, severity: str, way_out: str) -> None:
    catalogs = Catalogs()
    catalogs.answers["'wal_level'"] = [server(**changed)]
    (finding,) = found(catalogs)
    assert (finding.id, finding.severity) == (check, severity)
    assert way_out in finding.way_out


def test_standbys_that_are_waited_for_or_cannot_be_are_no_finding() -> None:
    catalogs = Catalogs()
    for waited_for in ("a, b", None):
        catalogs.answers["'wal_level'"] = [server(standby_slots=["a", "b"], waited_for=waited_for)]
        assert found(catalogs) == []


def test_what_would_wait_for_a_locked_table_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_BRIEF_S", 0.0)
    catalogs = Catalogs()
    catalogs.answers["'AccessExclusiveLock'"] = [("app.scorecards", 41, "psql", "dba", 0.0)]
    for question in ("FROM pg_publication ", "a.backend_xid IS NOT NULL", "FROM pg_index"):
        del catalogs.answers[question]
    assert [each.id for each in found(catalogs)] == ["table-locked"]


def test_a_question_that_takes_too_long_is_no_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> None:
        raise PostgresTimeout("Postgres: canceling statement due to statement timeout")

    monkeypatch.setattr(postgres.source, "examine", late)
    assert [(each.id, "statement timeout" in each.what) for each in found(Catalogs())] == [("postgres-slow", True)]


def test_a_standby_that_is_meant_to_be_one_is_no_finding() -> None:
    catalogs = Catalogs()
    catalogs.answers["'wal_level'"] = [server(in_recovery=True)]
    assert found(catalogs, standby=True) == []


@pytest.mark.parametrize(
    ("changed", "check", "way_out"),
    [
        ({"plugin": "wal2json"}, "slot-strange", "SCORESTREAM_POSTGRES_SLOT"),
        ({"database": "other"}, "slot-strange", "SCORESTREAM_POSTGRES_SLOT"),
        ({"status": "lost", "active": False}, "slot-lost", RECOVER),
        ({"invalid": "rows_removed", "active": False}, "slot-lost", RECOVER),
        ({"status": "unreserved"}, "slot-wal", "max_slot_wal_keep_size"),
        ({"safe": 1 << 20}, "slot-wal", "max_slot_wal_keep_size"),
        ({"active": False}, "slot-inactive", "scorestream connectors restart --all"),
        ({"failover": False}, "slot-failover", "ALTER_REPLICATION_SLOT scorestream (FAILOVER true)"),
    ],
)
def test_a_fault_of_the_slot(changed: dict[str, Any], check: str, way_out: str) -> None:
    catalogs = Catalogs()
    catalogs.answers["s.safe_wal_size"] = [slot(**changed)]
    (finding,) = found(catalogs)
    assert finding.id == check
    assert way_out in finding.way_out


def test_a_slot_without_failover_is_a_hint_and_with_standbys_a_warning() -> None:
    catalogs = Catalogs()
    catalogs.answers["s.safe_wal_size"] = [slot(failover=False)]
    assert [each.severity for each in found(catalogs)] == ["hint"]
    catalogs.answers["'wal_level'"] = [server(standbys=2)]
    assert [each.severity for each in found(catalogs)] == ["warning"]
    catalogs.answers["'wal_level'"] = [server(version=160004, standbys=2)]
    assert found(catalogs) == []


def test_a_slot_that_is_missing_where_all_are_taken() -> None:
    catalogs = Catalogs()
    catalogs.answers["'wal_level'"] = [server(slots=16)]
    catalogs.answers["s.safe_wal_size"] = []
    exhausted, missing = found(catalogs)
    assert exhausted.way_out.startswith("ALTER SYSTEM SET max_replication_slots = 21;")
    assert (missing.id, missing.way_out) == ("slot-missing", "scorestream connectors apply")


def test_a_slot_that_a_connector_has_lost_needs_more_than_another_start() -> None:
    catalogs = Catalogs()
    catalogs.answers["s.safe_wal_size"] = []
    catalogs.answers['SELECT 1 FROM "app"."scorestream_heartbeat"'] = [(1,)]
    (missing,) = found(catalogs)
    assert (missing.id, missing.way_out) == ("slot-missing", RECOVER)


def test_an_inactive_slot_where_all_senders_are_taken() -> None:
    catalogs = Catalogs()
    catalogs.answers["'wal_level'"] = [server(senders=16)]
    catalogs.answers["s.safe_wal_size"] = [slot(active=False)]
    assert [each.id for each in found(catalogs)] == ["slot-inactive", "slots-exhausted"]


def test_transactions_beyond_the_limit_are_named_with_the_statement_that_ends_them() -> None:
    catalogs = Catalogs()
    catalogs.answers["a.backend_xid IS NOT NULL"] = [
        (41, "app", "qa", 7200.0),
        (42, "app", "qa", 599.0),
        (43, None, None, None),
    ]
    catalogs.answers["pg_prepared_xacts"] = [("o'x", "app", "qa", 7200.0), ("young", "app", "qa", 1.0)]
    transaction, prepared = found(catalogs)
    assert transaction.what == "a transaction of app in qa (pid 41) is open for 2 h 0 min"
    assert transaction.way_out == "SELECT pg_terminate_backend(41);"
    assert prepared.way_out.startswith("ROLLBACK PREPARED 'o''x';")


def test_a_pooler_is_known_by_the_process_id_that_it_makes_up() -> None:
    catalogs = Catalogs()
    catalogs.answers["SELECT pg_backend_pid()"] = [(8,)]
    (finding,) = found(catalogs)
    assert (finding.id, finding.severity, finding.what) == ("postgres-pooler", "warning", "a pooler answers at db:5432")


def test_before_the_connector_starts_the_slot_is_not_asked_for() -> None:
    catalogs = Catalogs()
    catalogs.answers["s.safe_wal_size"] = []
    catalogs.answers["'wal_level'"] = [server(wal_level="replica")]
    catalogs.answers["relrowsecurity"] = [("scorestream_cdc", ["scores"])]
    told = postgres.before_connector(catalogs, PostgresSettings())  # type: ignore[arg-type]
    assert [each.id for each in told] == ["wal-level", "row-security"]
