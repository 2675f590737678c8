"""purge and reindex on real stores: a ClickHouse that an older indexer filled, with rows that have no version."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from testbed import oracle
from testbed.universe import SCORESTREAM, Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        made.run("schema", "apply")
        yield made


def appeals_shown(universe: Universe, connection: psycopg.Connection[Any]) -> int:
    """Rows of appeals in both views on all shards."""
    ids = {row[0] for row in connection.execute("SELECT scorecard_id FROM app.scorecards WHERE scorecard_type > 0")}
    rows = oracle.visible(universe.env, universe.name)
    return sum(count for view in rows.values() for row, count in view.items() if str(row[1]) in {str(i) for i in ids})


def fill_like_the_old_indexer(universe: Universe, connection: psycopg.Connection[Any], count: int) -> None:
    """Put every row of Postgres into ClickHouse at version 0.

    The old indexer did not know appeals, and wrote them, too.
    """
    Workload(connection, seed=3).add(count)
    connection.execute("CREATE TABLE kept AS SELECT scorecard_id, scorecard_type FROM app.scorecards")
    connection.execute("UPDATE app.scorecards SET scorecard_type = NULL")
    universe.done("reindex", "--all")
    connection.execute(
        "UPDATE app.scorecards s SET scorecard_type = k.scorecard_type FROM kept k "
        "WHERE k.scorecard_id = s.scorecard_id"
    )


def test_appeals_of_an_old_indexer_are_purged(universe: Universe) -> None:
    with universe.postgres() as connection:
        # given appeals that ClickHouse shows, in rows of version 0
        fill_like_the_old_indexer(universe, connection, 150)
        before = appeals_shown(universe, connection)
        assert before > 0
        for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
            client = oracle.client_of(url, universe.env)
            assert client.query(f"SELECT max(_version) FROM {universe.name}.score").result_rows == [(0,)]
            client.close()
        # when they are counted
        dry = json.loads(universe.done("purge", "appeals", "--dry-run", "--json"))
        # then nothing has changed, and the counts are those of Postgres
        assert dry["visible_before"] == before == appeals_shown(universe, connection)
        counted = {(row["customer_id"], kind): row[kind] for row in dry["customers"] for kind in ("replica", "request")}
        for customer, kind, number in connection.execute(
            "SELECT customer_id, scorecard_type, count(*) FROM app.scorecards "
            "WHERE scorecard_type IN (1, 2) GROUP BY 1, 2"
        ):
            assert counted[customer, "replica" if kind == 1 else "request"] == number
        # and when one customer's are purged, the others' stay
        one = next(row["customer_id"] for row in dry["customers"] if row["visible_scorecards"])
        assert "visible now" in universe.done("purge", "appeals", "--customer", one)
        rest = appeals_shown(universe, connection)
        assert 0 < rest < before
        # and when all are, none is visible, and everything else is as before
        done = json.loads(universe.run("purge", "appeals", "--json").stdout)
        assert done["visible_after"] == 0 == appeals_shown(universe, connection)
        assert done["total"] == dry["total"]
    assert universe.differences() == []
    # and a second time there is nothing to do
    assert json.loads(universe.done("purge", "appeals", "--json"))["reindexed"] == 0


def test_a_killed_reindex_goes_on_where_it_was(universe: Universe) -> None:
    # given more scorecards than one chunk
    with universe.postgres() as connection:
        connection.execute(
            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, scorecard_time) "
            "SELECT gen_random_uuid(), 'propel', gen_random_uuid(), timestamptz '2026-01-05' + i * interval '1 minute' "
            "FROM generate_series(1, 4500) i"
        )
    # when a run of many chunks is killed after its first
    process = subprocess.Popen(
        [SCORESTREAM, "reindex", "--customer", "propel"],
        env=universe.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state = Path(universe.env["SCORESTREAM_STATE_DIR"])
    wait_for("a chunk is noted", lambda: list(state.glob("reindex-*.json")), deadline_s=60, every_s=0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # then the same call goes on behind it, and all is there
    done = json.loads(universe.done("reindex", "--customer", "propel", "--json"))
    assert done["resumed_at"] >= 1_000
    assert done["reindexed"] == done["total"] == 4_500
    assert done["failed"] == 0
    assert not list(state.glob("reindex-*.json"))
    assert universe.differences() == []


def test_reindex_by_ids(universe: Universe, tmp_path: Path) -> None:
    # given scorecards in Postgres only
    with universe.postgres() as connection:
        workload = Workload(connection, seed=4)
        workload.add(20)
    file = tmp_path / "ids.txt"
    file.write_text("# those that were asked for\n\n" + "\n".join(i.upper() for i in workload.scorecards[:15]) + "\n")
    # when some are named in a file and the others on the command line
    assert json.loads(universe.done("reindex", "--ids-file", str(file), "--dry-run", "--json"))["total"] == 15
    universe.run("reindex", "--ids-file", str(file))
    universe.done("reindex", *(option for i in workload.scorecards[15:] for option in ("--id", i)))
    # then all are indexed
    assert universe.differences() == []
    # and a word that is no id is refused, with its line
    file.write_text("nonsense\n")
    done = universe.run("reindex", "--ids-file", str(file), check=False)
    assert done.returncode == 2
    assert f"{file}:1" in done.stderr
