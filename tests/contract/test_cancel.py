"""Statements of the store that another thread cancels, on a real Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from stream.errors import PostgresUnavailable
from stream.postgres.connection import Postgres
from stream.settings_sections import PostgresSettings
from testbed.universe import wait_for

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("opens", ["asking", "session"])
def test_a_statement_that_is_cancelled_ends_at_once(opens: str, stack_env: dict[str, str]) -> None:
    # given a statement that takes long, on the shared connection or in a session of its own
    url = stack_env["DEVSTACK_POSTGRES_URL"]
    with (
        Postgres(PostgresSettings(dsn=url)) as store,
        Postgres(PostgresSettings(dsn=url)) as other,
        ThreadPoolExecutor(1) as thread,
    ):

        def sleep() -> None:
            with getattr(store, opens)() as connection:
                connection.execute("SELECT pg_sleep(60) /* to cancel */")

        def runs() -> bool:
            with other.asking() as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60) /* to cancel%'"
                ).fetchone()
            return row == (1,)

        sleeping = thread.submit(sleep)
        wait_for("it runs", runs, deadline_s=10)
        # when another thread cancels what the store runs
        store.cancel()
        # then the caller gets the store's error, and the store can be asked again
        with pytest.raises(PostgresUnavailable, match="cancel"):
            sleeping.result(timeout=10)
        with store.asking() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
