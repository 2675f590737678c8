"""Another Postgres under the same rows, and another table under the same name: both are reported, neither is silent."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from devstack.stack import Stack
from testbed import oracle
from testbed.universe import Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack

STARTS = "SCORESTREAM_VERSION_EPOCH_STARTS"


@pytest.fixture(scope="module")
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    made = Universe(stack.env(), tmp_path_factory.mktemp("source"))
    try:
        made.set_up()
        yield made
    finally:
        made.close()


def command(universe: Universe, sql: str) -> None:
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = oracle.client_of(url, universe.env)
        client.command(sql)
        client.close()


def test_a_worker_writes_down_which_cluster_it_reads(universe: Universe) -> None:
    with universe.worker() as worker:
        wait_for("it is ready", lambda: "msg=assigned" in worker.log.read_text("utf-8"))
    client = oracle.client_of(universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")[0], universe.env)
    rows = client.query(f"SELECT epoch, system_identifier, timeline, lsn FROM {universe.name}.source").result_rows
    with universe.postgres() as connection:
        identifier = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert identifier is not None
    assert {(epoch, own, timeline) for epoch, own, timeline, _ in rows} == {(0, identifier[0], 1)}
    assert all(lsn > 0 for *_, lsn in rows)


@pytest.mark.long  # a worker looks at the source each 30 s
def test_a_table_that_was_exchanged_by_a_rename_is_told_by_lag_worker_and_verify(universe: Universe) -> None:
    with universe.postgres() as connection, universe.worker() as worker:
        Workload(connection, seed=5).add(10)
        universe.wait_until_equal()
        # when another table takes the name of the scores, and one of its rows changes
        with connection.transaction():
            connection.execute("CREATE TABLE app.scores_new (LIKE app.scores INCLUDING ALL)")
            connection.execute("INSERT INTO app.scores_new SELECT * FROM app.scores")
            connection.execute("ALTER TABLE app.scores RENAME TO scores_old")
            connection.execute("ALTER TABLE app.scores_new RENAME TO scores")
            connection.execute("GRANT SELECT ON app.scores TO scorestream_cdc, scorestream_reader")
        connection.execute(
            "UPDATE app.scores SET numeric_value = 42 WHERE score_id = (SELECT score_id FROM app.scores LIMIT 1)"
        )
        # then each of them says so by name
        told = universe.run("lag", check=False)
        assert "leaves out scores" in told.stdout + told.stderr
        wait_for(
            "the worker tells", lambda: "publication leaves out tables" in worker.log.read_text("utf-8"), deadline_s=45
        )
        assert "tables=scores" in worker.log.read_text("utf-8")
    assert universe.run("verify", "--no-wait", check=False).returncode == 3
    with universe.postgres() as connection, connection.transaction():
        connection.execute("DROP TABLE app.scores")
        connection.execute("ALTER TABLE app.scores_old RENAME TO scores")


@pytest.mark.parametrize(
    ("row", "code", "told"),
    [
        pytest.param((0, 1, 1, 1), 2, "another cluster", id="another system identifier"),
        pytest.param((0, 0, 0, 1 << 50), 1, "it is a restored copy", id="a higher LSN"),
        pytest.param((3, 0, 0, 1), 2, "versions of epoch 3", id="a higher epoch"),
    ],
)
def test_a_cluster_whose_changes_would_lose_is_refused_at_the_start(
    universe: Universe, row: tuple[int, ...], code: int, told: str
) -> None:
    # given records of workers of another cluster, beside which this one begins
    command(universe, f"TRUNCATE TABLE {universe.name}.source")
    command(universe, f"INSERT INTO {universe.name}.source (epoch, system_identifier, timeline, lsn) VALUES {row}")
    ended = universe.run("worker", check=False)
    assert ended.returncode == code, ended.stderr
    assert told in ended.stderr
    assert "SCORESTREAM_VERSION_EPOCH" in ended.stderr
    # when the settings say that this is a later cluster
    with universe.worker(**{STARTS: "2020-01-01T00:00:00Z", "SCORESTREAM_VERSION_EPOCH": str(row[0])}) as worker:
        wait_for("it starts", lambda: "msg=assigned" in worker.log.read_text("utf-8"))


def test_without_a_record_rows_of_a_higher_version_are_enough(universe: Universe) -> None:
    # given rows of a cluster whose LSNs were higher, indexed before workers wrote anything down
    command(universe, f"TRUNCATE TABLE {universe.name}.source")
    version = (1 << 50) << 56
    columns = "customer_id, scorecard_id, score_id, event_time, _version, _deleted"
    values = f"'a', '{uuid4()}', '{uuid4()}', '2026-01-01', toUInt128('{version}'), 1"
    command(universe, f"INSERT INTO {universe.name}.score ({columns}) VALUES ({values})")
    ended = universe.run("worker", check=False)
    assert ended.returncode == 1, ended.stderr
    assert "it is a restored copy" in ended.stderr
