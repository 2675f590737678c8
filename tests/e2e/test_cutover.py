"""Blue/green on the real stack: replay into a shadow beside live, cut over, back; readers see no hole."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from testbed import oracle
from testbed.replays import Running, differences, done, drop, facts, progress, refused
from testbed.universe import ROOT, Universe, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack
SHADOW = "green"


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    made = Universe(stack_env, tmp_path)
    try:
        made.set_up()
        yield made
    finally:
        drop(made, made.name + SHADOW)
        made.close()


class Beside:
    """Threads that write and read while a block runs."""

    def __init__(self, universe: Universe, workload: Workload) -> None:
        self._universe = universe
        self._workload = workload
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write)]
        self._threads += [
            threading.Thread(target=self._read, args=(url,))
            for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(",")
        ]
        self.dips: list[tuple[str, int, int]] = []
        self.reads = 0
        self.error: Exception | None = None

    def __enter__(self) -> Beside:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def _write(self) -> None:
        """Changes of every kind, and a customer that only grows.

        Its scorecards have conversations of their own: the workload moves, clears and deletes those that have none.
        """
        try:
            with psycopg.connect(self._universe.url, autocommit=True) as connection:
                self._workload.sql = connection
                connection.execute(
                    "INSERT INTO app.chats (conversation_id, customer_id, started_at) "
                    "SELECT md5('steady' || day)::uuid::text, 'steady', "
                    "timestamptz '2026-01-01+00' + day * interval '1 day' FROM generate_series(0, 8) day"
                )
                for number in itertools.count():
                    if self._stop.wait(0.03):
                        return
                    self._workload.change()
                    connection.execute(
                        "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, conversation_id) "
                        "VALUES (gen_random_uuid(), 'steady', gen_random_uuid(), md5('steady' || %s::int)::uuid::text)",
                        (number % 9,),
                    )
        except Exception as error:
            self.error = error

    def _read(self, url: str) -> None:
        client = oracle.client_of(url, self._universe.env)
        most = 0
        query = f"SELECT count() FROM {self._universe.name}.scorecard_current WHERE customer_id = 'steady'"
        try:
            while not self._stop.wait(0.01):
                count = client.query(query).result_rows[0][0]
                if count < most:
                    self.dips.append((url, most, count))
                most = max(most, count)
                self.reads += 1
        except Exception as error:
            self.error = error
        finally:
            client.close()


@pytest.mark.long
def test_cutover_and_back_beside_live(universe: Universe) -> None:
    shadow = universe.name + SHADOW
    with universe.postgres() as connection:
        workload = Workload(connection, seed=51)
        workload.add(200)
    with universe.worker():
        universe.wait_until_equal()
        with Beside(universe, workload) as beside:
            # given a replay into a shadow, killed once, while changes go on
            with Running(universe, "start", "green", "--into", shadow, "--rate", "200") as running:
                wait_for("it runs", lambda: progress(universe, "green") > 50)
                assert "not done" in refused(universe, "cutover", "green")
                running.kill_all()
            done(universe, "replay", "resume", "green", "--rate", "0")
            # when it is cut over
            assert json.loads(done(universe, "cutover", "green", "--dry-run", "--json"))["act"] == "exchange"
            cut = cutover(universe)
            assert cut["verified"], cut
            assert cut["held_s"] < 5
            assert "cut over already" in refused(universe, "cutover", "green")
            # and taken back, and cut over again, while changes go on
            cutover(universe, "--back")
            assert "not cut over" in refused(universe, "cutover", "green", "--back")
            cutover(universe)
        # then the live database is equal to Postgres, and no reader ever saw fewer rows than before
        universe.wait_until_equal()
        assert beside.reads > 50
        assert beside.dips == []
        assert "would be dropped" in done(universe, "cutover", "green", "--drop-old", "--dry-run")
        done(universe, "cutover", "green", "--drop-old")
        assert "dropped" in refused(universe, "cutover", "green", "--back")
        universe.wait_until_equal()


def test_a_shadow_that_differs_is_refused(universe: Universe) -> None:
    shadow = universe.name + SHADOW
    with universe.postgres() as connection:
        workload = Workload(connection, seed=52)
        workload.add(100)
    with universe.worker():
        universe.wait_until_equal()
        # given a shadow that lost rows
        done(universe, "replay", "start", "green", "--into", shadow)
        assert differences(universe, shadow) == []
        for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
            client = oracle.client_of(url, universe.env)
            client.command(f"TRUNCATE TABLE {shadow}.score")
            client.close()
        # when it is to be cut over, it is refused, and the live tables stay
        assert "differs from Postgres" in refused(universe, "cutover", "green")
        assert universe.differences() == []
        # and a part of the log is none either
        done(universe, "replay", "start", "part", "--customer", "propel")
        assert "live tables" in refused(universe, "cutover", "part")
        done(universe, "replay", "start", "piece", "--customer", "propel", "--into", shadow + "_piece")
        assert "only a part" in refused(universe, "cutover", "piece")
        drop(universe, shadow + "_piece")


@pytest.mark.long
def test_tables_of_the_release_before_are_replaced_by_a_replay_and_a_cutover(universe: Universe) -> None:
    shadow = universe.name + SHADOW
    with universe.postgres() as connection:
        workload = Workload(connection, seed=53)
        workload.add(100)
    with universe.worker():
        universe.wait_until_equal()
    # given the same rows in tables with the month in the sort key
    old = universe.name + "_old"
    ddl = (ROOT / "tests/data/month_in_the_sort_key.sql").read_text("utf-8").replace("{database}", old)
    statements = "\n".join(line for line in ddl.splitlines() if not line.startswith("--")).split(";")
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = oracle.client_of(url, universe.env)
        for statement in filter(str.strip, statements):
            client.command(statement)
        for table in ("scorecard", "score"):
            client.command(f"INSERT INTO {old}.{table} SELECT * FROM {universe.name}.{table}")
            client.command(f"EXCHANGE TABLES {old}.{table} AND {universe.name}.{table}")
        client.command(f"DROP DATABASE {old} SYNC")
        client.close()
    assert "sort key" in universe.call("schema", "status")[1]
    # when new tables are filled beside them, and take their place
    done(universe, "replay", "start", "green", "--into", shadow, "--to-earliest")
    assert cutover(universe)["verified"]
    # then a worker of this release goes on, and what changes within a month is right for readers of any window
    with universe.worker(), universe.postgres() as connection:
        workload.sql = connection
        connection.execute("UPDATE app.scorecards SET scorecard_time = scorecard_time + interval '3 hours'")
        universe.wait_until_equal()


def cutover(universe: Universe, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(universe, "cutover", "green", "--json", *options))
    assert facts(universe, "green")["state"] == "done"
    return found
