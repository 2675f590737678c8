"""The main job on the real stack: what is committed in Postgres is what ClickHouse shows, and no appeal is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import oracle
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        made.set_up()
        yield made


def test_snapshot_and_every_kind_of_change(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given rows that are there before the worker
        workload = Workload(connection, seed=1)
        workload.add(300)
        with universe.worker():
            universe.wait_until_equal()
            # when every kind of change is committed while it runs
            changed = {workload.change() for _ in range(600)}
            # then ClickHouse shows what the defining query says, column for column
            universe.wait_until_equal()
            assert len(changed) == 17
            appeals = connection.execute("SELECT count(*) FROM app.scorecards WHERE scorecard_type > 0").fetchone()
            shown = oracle.visible(universe.env, universe.name)["scorecard_current"]
            assert appeals is not None
            assert appeals[0] > 20
            assert any(row[3] for row in shown), "no process scorecard is indexed"
            # and when tables are truncated, their rows go
            connection.execute("TRUNCATE app.scores")
            universe.wait_until_equal()
            assert oracle.visible(universe.env, universe.name)["scorecard_current"]
            connection.execute("TRUNCATE app.scorecards CASCADE")
            universe.wait_until_equal()
        assert not any(oracle.visible(universe.env, universe.name).values())


def test_kill_and_resume_with_two_workers(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given two workers that share the partitions
        workload = Workload(connection, seed=2)
        workload.add(200)
        session = {"SCORESTREAM_KAFKA_SESSION_TIMEOUT_S": "6"}  # the group waits this long for a killed worker
        first, second = universe.start_worker(**session), universe.start_worker(**session)
        universe.wait_until_equal()
        # when one is killed while changes go on
        for _ in range(100):
            workload.change()
        first.kill()
        for _ in range(100):
            workload.change()
        # then the other takes over, and SIGTERM ends it well within ten seconds
        universe.wait_until_equal(deadline_s=90)
        second.signal(signal.SIGTERM)
        assert second.process.wait(timeout=10) == 0, second.log_tail()


def test_a_worker_in_place_of_a_killed_one_does_not_wait_for_its_session(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given a worker that is killed, and whose session lasts for minutes
        workload = Workload(connection, seed=5)
        workload.add(50)
        session = {"SCORESTREAM_KAFKA_SESSION_TIMEOUT_S": "300"}
        first = universe.start_worker(**session)
        universe.wait_until_equal()
        first.kill()
        for _ in range(50):
            workload.change()
        # when another starts on the host
        with universe.worker(**session) as second:
            # then it is given the partitions at once
            universe.wait_until_equal(deadline_s=30)
            log = second.log.read_text("utf-8")
        assert "a worker that died leaves the group" in log


def test_nothing_is_processed_twice_after_sigterm(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given a worker that has indexed everything and ended by SIGTERM
        workload = Workload(connection, seed=3)
        workload.add(100)
        with universe.worker():
            universe.wait_until_equal()
        # when another starts and one more change comes
        workload.add_scorecard()
        with universe.worker() as again:
            universe.wait_until_equal()
        log = again.log.read_text("utf-8")
        # then it processed only what came since
        messages = [int(line.split("messages=")[1].split()[0]) for line in log.splitlines() if "msg=indexed" in line]
        assert 0 < sum(messages) <= 30, log


def test_clickhouse_away_for_a_while(universe: Universe, stack: object) -> None:
    with universe.postgres() as connection:
        workload = Workload(connection, seed=4)
        workload.add(50)
        with universe.worker() as worker:
            universe.wait_until_equal()
            # given a shard that is down
            stack.kill("clickhouse-1")  # type: ignore[attr-defined]
            for _ in range(50):
                workload.change()
            wait_for("the worker retries", lambda: "msg=retry" in worker.log.read_text("utf-8"), deadline_s=30)
            # when it comes back
            stack.start("clickhouse-1")  # type: ignore[attr-defined]
            # then nothing is missing
            universe.wait_until_equal()
