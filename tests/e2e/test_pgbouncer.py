"""Behind PgBouncer: in session mode all works, and in transaction mode each command says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.stack import Stack
from testbed.universe import Universe
from testbed.workload import Workload
from tests.pooled import pgbouncer

pytestmark = [pytest.mark.stack, pytest.mark.long]


@pytest.fixture
def universe(stack: Stack, tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack.env(), tmp_path) as made:
        made.set_up()
        yield made


def test_a_pooler_in_transaction_mode_is_refused_by_name(universe: Universe) -> None:
    # given a pooler that shares the sessions of Postgres among its clients
    env = universe.env
    with pgbouncer(
        env["SCORESTREAM_POSTGRES_DSN"], env["SCORESTREAM_POSTGRES_PASSWORD"], pool_mode="transaction"
    ) as dsn:
        # when a worker starts, or a command asks Postgres
        worker = universe.start_worker(SCORESTREAM_POSTGRES_DSN=dsn)
        try:
            ended = worker.process.wait(timeout=60)
        finally:
            worker.kill()
        code, _, said = universe.call("verify", SCORESTREAM_POSTGRES_DSN=dsn)
        # then each ends with the cause and the way out
        assert [ended, code] == [1, 1]
        for text in (worker.log_tail(), said):
            assert "a pooler in transaction mode answers at 127.0.0.1" in text
            assert "pool_mode = session" in text
        # and the doctor says so, too
        _, printed, _ = universe.call("doctor", "--only", "postgres", SCORESTREAM_POSTGRES_DSN=dsn)
        assert "a pooler in transaction mode" in printed


def test_a_pooler_in_session_mode_serves(universe: Universe) -> None:
    # given a worker behind it, and changes of every kind
    env = universe.env
    with (
        pgbouncer(env["SCORESTREAM_POSTGRES_DSN"], env["SCORESTREAM_POSTGRES_PASSWORD"], pool_mode="session") as dsn,
        universe.worker(SCORESTREAM_POSTGRES_DSN=dsn),
        universe.postgres() as connection,
    ):
        workload = Workload(connection, seed=81)
        workload.add(20)
        for _ in range(60):
            workload.change()
        universe.wait_until_equal()
        # when both stores are compared, then nothing differs
        code, printed, said = universe.call("verify", SCORESTREAM_POSTGRES_DSN=dsn)
        assert (code, "clean" in printed) == (0, True), said
