"""Sessions in the way: a lock that keeps readers out."""

from __future__ import annotations

import pytest

from stream.config import PostgresSettings
from stream.doctor import sessions
from tests.unit.doctor.catalogs import Catalogs

LOCK = "'AccessExclusiveLock'"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_BRIEF_S", 0.05)
    monkeypatch.setattr(sessions, "_LOOK_S", 0.01)


def test_a_locked_table_is_named_with_its_session_and_the_statement_that_ends_it() -> None:
    catalogs = Catalogs()
    catalogs.answers[LOCK] = [("app.scorecards", 41, "psql", "dba", 0.0), ("app.scores", 0, "", "", 0.0)]
    session, prepared = sessions.locked(catalogs, PostgresSettings())  # type: ignore[arg-type]
    assert session.id == "table-locked"
    assert session.what == "app.scorecards is locked by pid 41 (psql, role dba); look-ups wait"
    assert session.way_out == "SELECT pg_terminate_backend(41);"
    assert prepared.what.startswith("app.scores is locked by a prepared transaction")
    assert "ROLLBACK PREPARED" in prepared.way_out


def test_a_lock_that_goes_by_itself_is_no_finding() -> None:
    asked: list[int] = []

    class Moving(Catalogs):
        def execute(self, query: str, values: object = None) -> object:  # type: ignore[override]
            asked.append(1)
            self.answers[LOCK] = [] if len(asked) > 2 else [("app.scores", 41, "psql", "dba", 0.0)]
            return super().execute(query, values)

    assert sessions.locked(Moving(), PostgresSettings()) == []  # type: ignore[arg-type]
