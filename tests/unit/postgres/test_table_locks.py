"""Locks that keep readers out, in words; tests/integration/postgres/test_table_locks.py asks a real server."""

from __future__ import annotations

from stream.postgres.table_locks import TableLock


def test_a_session_is_named_by_its_pid_its_application_and_its_role() -> None:
    lock = TableLock("app.scores", 41, "psql", "dba", 0.0)
    assert str(lock) == "app.scores is locked by pid 41 (psql, role dba)"
    assert lock.way_out == "SELECT pg_terminate_backend(41);"


def test_a_session_may_hide_its_role_and_have_no_application() -> None:
    assert TableLock("app.scores", 41, "", "", 0.0).holder == "pid 41 (no application name)"


def test_a_prepared_transaction_has_no_session_to_end() -> None:
    lock = TableLock("app.scores", 0, "", "", 0.0)
    assert str(lock) == "app.scores is locked by a prepared transaction"
    assert "pg_prepared_xacts" in lock.way_out
