"""Locks on the source tables, asked of a real server by the role of the look-ups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from stream.config import Settings
from stream.errors import PostgresTimeout
from stream.postgres.connection import Postgres
from stream.postgres.table_locks import TableLock, table_locks
from stream.tables import LOOKED_UP
from testbed.universe import Universe, wait_for

pytestmark = pytest.mark.stack


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        yield made


def test_a_lock_is_found_by_the_role_of_the_look_ups_and_named_by_a_look_up_that_times_out(universe: Universe) -> None:
    settings = Settings().postgres.model_copy(update={"dsn": universe.env["SCORESTREAM_POSTGRES_DSN"]})

    def locks() -> list[tuple[str, int]]:
        with store.asking() as connection:
            return [(each.table, each.pid) for each in table_locks(connection, "app", LOOKED_UP)]

    with (
        Postgres(settings, statement_timeout_s=0.5) as store,
        closing(psycopg.connect(universe.url, application_name="migration")) as holder,
        closing(psycopg.connect(universe.url)) as reader,
    ):
        # given a table that is read only, then no one keeps readers out
        reader.execute("SELECT FROM app.scorecards")
        assert locks() == []
        # when a change of the schema waits for that reader, then it already keeps the look-ups out
        pid = holder.info.backend_pid
        altering = Thread(target=holder.execute, args=("ALTER TABLE app.scorecards ADD COLUMN more int",))
        altering.start()
        wait_for("it waits for its lock", lambda: locks() == [("app.scorecards", pid)], deadline_s=10)
        named = rf"look-up: canceling statement.*; app.scorecards is locked by pid {pid} \(migration"
        with pytest.raises(PostgresTimeout, match=named), store.asking("look-up") as connection:
            connection.execute("SELECT FROM app.scorecards")
        # when it has the lock, then a look-up that waits is seen
        reader.rollback()
        altering.join(10)
        waiting = Thread(target=_read, args=(universe.url,))
        waiting.start()

        def waits() -> TableLock | None:
            with store.asking() as connection:
                (found,) = table_locks(connection, "app", LOOKED_UP)
            return found if found.waits_s > 0 else None

        seen: TableLock = wait_for("a look-up waits", waits, deadline_s=10)
        assert (seen.table, seen.pid, seen.application) == ("app.scorecards", pid, "migration")
        # when it ends, then nothing is locked
        holder.rollback()
        waiting.join(10)
        assert locks() == []


def _read(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM app.scorecards")
