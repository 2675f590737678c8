"""The store: one shared connection for all questions, the package's errors, and no secret in a text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from stream.errors import PostgresRefused, PostgresTimeout, PostgresUnavailable
from stream.postgres import connection as module
from stream.postgres.connection import Postgres, errors
from stream.postgres.table_locks import TableLock
from stream.secret_file import SecretFile
from stream.settings_sections import PostgresSettings
from stream.tables import quoted


class Connection:
    """A psycopg connection that remembers what it was asked."""

    def __init__(self) -> None:
        self.closed = False
        self.asked: list[str] = []
        self.read_only = False
        self.isolation_level: Any = None
        self.process = 7

    @property
    def info(self) -> Any:
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        return SimpleNamespace(backend_pid=7, host="db", port=5432)

    def execute(self, query: str) -> Connection:
        self.asked.append(query)
        return self

    def fetchone(self) -> tuple[int]:
        return (self.process,)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Every connection that was opened."""
    made: list[Connection] = []

    def connect(_dsn: str, **_: Any) -> Connection:
        made.append(Connection())
        return made[-1]

    monkeypatch.setattr(module.psycopg, "connect", connect)
    return made


def test_questions_that_follow_one_another_share_a_connection(opened: list[Connection]) -> None:
    with Postgres(PostgresSettings(), statement_timeout_s=2.5) as postgres:
        for _ in range(3):
            with postgres.asking() as outer, postgres.asking() as inner:
                assert outer is inner
    assert len(opened) == 1
    assert "SET statement_timeout = 2500" in opened[0].asked
    assert (opened[0].read_only, opened[0].closed) == (True, True)


def test_a_policy_refuses_a_look_up_and_an_idle_snapshot_lives(opened: list[Connection]) -> None:
    postgres = Postgres(PostgresSettings())
    with postgres.asking(), postgres.session():
        pass
    postgres.holding()
    assert len(opened) == 3
    for connection in opened:
        asked = "; ".join(connection.asked)
        assert "SET row_security = off" in asked
        assert "'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout'" in asked
        assert "SET timezone = 'UTC'" in asked


def test_a_lost_connection_is_told_and_the_next_question_opens_another(opened: list[Connection]) -> None:
    postgres = Postgres(PostgresSettings())

    def ask() -> None:
        with postgres.asking("Postgres look-up"):
            raise psycopg.OperationalError("server closed the connection\nDETAIL: of no use")

    with pytest.raises(PostgresUnavailable, match=r"^Postgres look-up: server closed the connection$"):
        ask()
    assert opened[0].closed
    with postgres.asking() as connection:
        assert connection is opened[1]


def test_an_error_that_is_not_postgres_leaves_the_connection_open(opened: list[Connection]) -> None:
    postgres = Postgres(PostgresSettings())
    with pytest.raises(ValueError, match="mine"), postgres.asking():
        raise ValueError("mine")
    assert not opened[0].closed


def test_a_session_is_a_connection_of_its_own_and_closes(opened: list[Connection]) -> None:
    with Postgres(PostgresSettings()) as postgres, postgres.asking() as shared:
        with postgres.session(statement_timeout_s=0) as own:
            assert own is not shared
            assert "SET statement_timeout = 0" in opened[1].asked
        assert opened[1].closed


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.OperationalError("x"), PostgresUnavailable),
        (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), PostgresTimeout),
        (psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"), PostgresTimeout),
        (psycopg.errors.QueryCanceled("canceling statement due to user request"), PostgresUnavailable),
        (psycopg.InterfaceError("the connection is closed"), PostgresUnavailable),
        (psycopg.errors.UndefinedColumn("x"), PostgresRefused),
    ],
)
def test_what_passes_is_unavailable_and_the_rest_is_refused(error: psycopg.Error, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised, errors():
        raise error
    assert raised.type is kind


@pytest.mark.parametrize("way", ["asking", "session"])
def test_a_statement_that_waited_too_long_says_who_locks_the_table(
    monkeypatch: pytest.MonkeyPatch, opened: list[Connection], way: str
) -> None:
    lock = TableLock("app.scorecards", 41, "psql", "dba", 0.0)
    monkeypatch.setattr(module, "table_locks", lambda connection, schema, tables: (lock,) if schema == "app" else ())
    question = getattr(Postgres(PostgresSettings()), way)
    with (
        pytest.raises(
            PostgresTimeout, match=r"look-up: .*timeout; app.scorecards is locked by pid 41 \(psql, role dba"
        ),
        question("Postgres look-up"),
    ):
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
    assert opened[0].closed


def test_a_malformed_dsn_is_not_printed() -> None:
    settings = PostgresSettings(dsn="postgresql://user:hush@host:port:5432/db", password=SecretStr("hush too"))
    with pytest.raises((PostgresRefused, PostgresUnavailable)) as raised, Postgres(settings).asking():
        pass
    assert "hush" not in str(raised.value)


def test_identifiers_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
    assert Postgres(PostgresSettings(source_schema="Odd Schema")).table("scores") == '"Odd Schema"."scores"'


@pytest.mark.parametrize("shared", [False, True])
def test_a_pooler_that_shares_sessions_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, opened: list[Connection], shared: bool
) -> None:
    # given a pooler
    monkeypatch.setattr(module, "is_pooled", lambda _: True)
    monkeypatch.setattr(module, "is_shared", lambda *_: shared)
    postgres = Postgres(PostgresSettings())
    # when it is asked, then one that keeps sessions together serves, and the other is named with the way out
    if shared:
        with pytest.raises(PostgresRefused, match=r"pooler in transaction mode .* db:5432.*pool_mode = session"):
            postgres.holding()
        assert [each.closed for each in opened] == [True, True]
    else:
        postgres.holding()
        assert [each.closed for each in opened] == [False, True]


def test_each_connection_reads_the_password_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given a password in a file
    file = tmp_path / "password"
    file.write_text("old\n")
    used: list[str] = []

    def connect(_dsn: str, *, password: str, **_: Any) -> Connection:
        used.append(password)
        return Connection()

    monkeypatch.setattr(module.psycopg, "connect", connect)
    postgres = Postgres(PostgresSettings(password=SecretFile(file)))
    # when it is rotated
    postgres.holding()
    file.write_text("new\n")
    postgres.holding()
    # then the next connection has the new one
    assert used == ["old", "new"]
