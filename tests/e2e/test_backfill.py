"""Backfills on the real stack: exactly the rows asked for, beside live changes, through kills and orders."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.backfill import control as backfill
from stream.config import load
from stream.wiring import broker
from testbed import oracle
from testbed.replays import done, refused
from testbed.universe import SCORESTREAM, Universe, _with_database, wait_for
from testbed.workload import Workload

pytestmark = pytest.mark.stack

SELECTED = """
    SELECT s.scorecard_id::text FROM app.scorecards s LEFT JOIN app.chats c ON c.conversation_id = s.conversation_id
    WHERE s.customer_id = 'propel' AND s.scorecard_id IN (
        SELECT scorecard_id FROM app.scorecards WHERE coalesce(conversation_id, '') = ''
            AND scorecard_time >= '2026-01-11+00' AND scorecard_time < '2026-02-01+00'
        UNION SELECT x.scorecard_id FROM app.scorecards x JOIN app.chats y ON y.conversation_id = x.conversation_id
            WHERE y.started_at >= '2026-01-11+00' AND y.started_at < '2026-02-01+00')"""
WINDOW = ("--customer", "propel", "--from", "2026-01-11", "--to", "2026-01-31")


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Universe]:
    with Universe(stack_env, tmp_path) as made:
        made.env["SCORESTREAM_BACKFILL_DSN"] = _with_database(stack_env["SCORESTREAM_BACKFILL_DSN"], made.name)
        document = json.loads(made.connector_file.read_text("utf-8"))
        document["config"]["incremental.snapshot.chunk.size"] = "32"
        made.connector_file.write_text(json.dumps(document), "utf-8")
        for name, value in made.env.items():  # for calls in this process
            if name.startswith("SCORESTREAM_"):
                monkeypatch.setenv(name, value)
        made.set_up()
        yield made


@pytest.mark.long
def test_one_customers_window_is_read_and_what_commits_later_wins(universe: Universe) -> None:
    with universe.postgres() as connection, psycopg.connect(universe.url) as other:
        workload = Workload(connection, seed=11)
        workload.add(250)
        with universe.worker():
            universe.wait_until_equal()
            # given rows that ClickHouse has lost, and a transaction that is open across the whole backfill
            _forget(universe)
            cards = {row[0] for row in connection.execute(SELECTED)}
            scores = {row[0] for row in connection.execute(
                f"SELECT score_id::text FROM app.scores WHERE scorecard_id::text IN ({SELECTED})")}  # fmt: skip
            changed, gone, appealed = sorted(cards)[:3]
            other.execute("UPDATE app.scores SET numeric_value = 77 WHERE scorecard_id = %s", (changed,))
            other.execute("UPDATE app.scorecards SET comment = 'later' WHERE scorecard_id = %s", (changed,))
            other.execute("DELETE FROM app.scorecards WHERE scorecard_id = %s", (gone,))
            other.execute("UPDATE app.scorecards SET scorecard_type = 2 WHERE scorecard_id = %s", (appealed,))
            # when the customer's window is backfilled
            result = json.loads(universe.run("backfill", "start", *WINDOW, "--json").stdout)
            # then exactly its rows are read again, and shown
            assert _read_again(universe, "scorecards") == cards
            assert _read_again(universe, "scores") == scores
            assert result["rows"] == result["rows_total"] == len(cards) + len(scores)
            assert (result["windows_done"], result["state"]) == (3, "done")
            want = {row for row in oracle.expected(connection)["score_current"] if str(row[0]) == "propel"}
            shown = wait_for("the scores", lambda: oracle.visible(universe.env, universe.name)["score_current"])
            assert all(row in want for row in shown), "rows of others are shown"
            # and when the open transaction commits, it wins, though its changes are older in the log
            other.commit()
            wait_for("the appeal hides", lambda: _shown(universe, changed) == {77.0} and not _shown(universe, appealed))
            assert not _shown(universe, gone)
            # and a backfill of everything makes all whole while changes go on
            with _started(universe, "--table", "all", "--window", "20d") as started:
                for _ in range(150):
                    workload.change()
                assert started.wait(timeout=120) == 0
            universe.wait_until_equal(deadline_s=90)


@pytest.mark.long
def test_kill_of_the_command_and_restart_of_connect(universe: Universe, stack: Any) -> None:
    with universe.postgres() as connection:
        # given a backfill under way
        _many(connection, scorecards=300, scores=20)
        with universe.worker():
            universe.wait_until_equal(deadline_s=90)
            _forget(universe)
            with _started(universe, "--name", "killed", "--window", "20d"):
                wait_for("it reads", lambda: _status()["rows"] > 500)
            # when the command is killed, and then Connect
            stack.kill("connect")
            stack.start("connect")
            wait_for("connector", lambda: universe.call("connectors", "status")[0] == 0)
            wait_for("it is shown", lambda: _status()["state"] == "interrupted", deadline_s=40)
            assert "`scorestream backfill resume killed`" in refused(universe, "backfill", "start")
            # then a resume goes on with the first window that is not read
            result = json.loads(universe.run("backfill", "resume", "--json").stdout)
            assert (result["state"], result["rows_total"]) == ("done", 6_300)
            universe.wait_until_equal(deadline_s=90)


@pytest.mark.long
def test_pause_stop_and_resume_from_elsewhere_leave_nothing_out(universe: Universe) -> None:
    with universe.postgres() as connection:
        _many(connection, scorecards=300, scores=30)
        with _started(universe, "--name", "long", "--window", "none") as started:
            wait_for("it reads", lambda: _status()["rows"] > 400)
            # when it is paused, no row is read
            done(universe, "backfill", "pause")
            paused = wait_for("paused", lambda: (s := _status())["state"] == "paused" and s)
            assert paused["driver"]
            beat = _beat(connection)
            wait_for("the connector's next beat", lambda: _beat(connection) > beat)
            assert _status()["rows"] == paused["rows"] < 9_000
            # then it goes on in the first process
            assert json.loads(done(universe, "backfill", "resume", "--json"))["driver"] == paused["driver"]
            wait_for("it goes on", lambda: _status()["rows"] > paused["rows"])
            # and when it is stopped, that process ends and says how to go on
            done(universe, "backfill", "stop", "long")
            assert started.wait(timeout=20) == 1
        assert "`scorestream backfill resume long`" in (universe.folder / "backfill.log").read_text("utf-8")
        stopped = _status()
        assert stopped["state"] == "stopped"
        assert stopped["rows"] < 9_300
        assert len(_read_again(universe, "scores")) < 9_000
        # and so does SIGTERM, in a process that has resumed
        resumed = subprocess.Popen(
            [SCORESTREAM, "backfill", "resume", "long"], env=universe.env, stderr=subprocess.PIPE
        )
        wait_for("it reads again", lambda: (s := _status())["state"] == "running" and s["rows"] > 400)
        resumed.send_signal(signal.SIGTERM)
        assert b"`scorestream backfill resume long`" in resumed.communicate(timeout=20)[1]
        assert resumed.returncode == 1
        # then a last resume ends it, and every row was read
        result = json.loads(universe.run("backfill", "resume", "long", "--json").stdout)
        assert (result["state"], result["rows"]) == ("done", 9_300)
        assert len(_read_again(universe, "scores")) == 9_000


def test_refusals(universe: Universe) -> None:
    def no(*options: str, code: int = 2, **env: str | None) -> str:
        return refused(universe, "backfill", *options, code=code, **env)

    with universe.postgres() as connection:
        Workload(connection, seed=12).add(5)
        assert "no customer 'nobody'" in no("start", "--customer", "nobody")
        assert "--from 2026-02-01 is not before --to 2026-01-01" in no(
            "start", "--from", "2026-02-01", "--to", "2026-01-01"
        )
        assert "neither a date" in no("start", "--from", "yesterday")
        assert "is not a valid backfill name" in no("start", "--name", "A b")
        assert "SCORESTREAM_BACKFILL_DSN" in no("start", SCORESTREAM_BACKFILL_DSN=None)
        assert "GRANT SELECT, INSERT" in no(
            "start",
            SCORESTREAM_BACKFILL_DSN=universe.env["SCORESTREAM_POSTGRES_DSN"],
            SCORESTREAM_BACKFILL_PASSWORD=universe.env["SCORESTREAM_POSTGRES_PASSWORD"],
        )
        other = _with_database(universe.env["SCORESTREAM_BACKFILL_DSN"], "postgres")
        assert f"is in database {universe.name}" in no("start", SCORESTREAM_BACKFILL_DSN=other)
        for order in ("resume", "pause", "stop"):
            assert "none was ever started" in no(order)
            assert "there is no backfill 'x'" in no(order, "x")
        done(universe, "backfill", "start", "--name", "first")
        assert "choose another --name" in no("start", "--name", "first")
        assert "is done" in no("resume", "first")
        connection.execute("ALTER PUBLICATION scorestream DROP TABLE app.scorestream_signal")
        assert "ALTER PUBLICATION scorestream ADD TABLE" in no("start")
        connection.execute("ALTER PUBLICATION scorestream ADD TABLE app.scorestream_signal")
        done(universe, "connectors", "pause")
        assert "`scorestream connectors resume`" in no("start", code=1)
        done(universe, "connectors", "delete")
        assert "`scorestream connectors apply`" in no("start")


def _many(connection: psycopg.Connection[Any], *, scorecards: int, scores: int) -> None:
    with connection.transaction():
        connection.execute(
            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, scorecard_time) "
            "SELECT gen_random_uuid(), 'c' || mod(i, 3), gen_random_uuid(), timestamptz '2026-01-01+00' + i * "
            "interval '4 hours' FROM generate_series(1, %s) i",
            (scorecards,),
        )
        connection.execute(
            "INSERT INTO app.scores (score_id, scorecard_id, criterion_id, numeric_value) "
            "SELECT gen_random_uuid(), scorecard_id, gen_random_uuid(), 1 FROM app.scorecards, generate_series(1, %s)",
            (scores,),
        )


@contextmanager
def _started(universe: Universe, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    with (universe.folder / "backfill.log").open("wb") as log:
        process = subprocess.Popen(
            [SCORESTREAM, "backfill", "start", *options], env=universe.env, stdout=log, stderr=log
        )
    try:
        yield process
    except BaseException:
        print((universe.folder / "backfill.log").read_text("utf-8", "replace"), _status())
        raise
    finally:
        process.kill()
        process.wait(timeout=10)


def _status() -> dict[str, Any]:
    """As `scorestream backfill status --json` prints it, without the second that a process takes to start."""
    with broker(load()) as kafka:
        found = backfill.status(kafka, None)
    return found.as_json() if found is not None else {"rows": 0, "state": ""}


def _beat(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT sum(beat) FROM app.scorestream_heartbeat").fetchone()
    return int(row[0] or 0) if row else 0


def _forget(universe: Universe) -> None:
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = oracle.client_of(url, universe.env)
        for table in ("scorecard", "score"):
            client.command(f"TRUNCATE TABLE {universe.name}.{table}")
        client.close()


def _shown(universe: Universe, scorecard: str) -> set[float]:
    """Values of the scores that ClickHouse shows of a scorecard."""
    found = set()
    for url in universe.env["SCORESTREAM_CLICKHOUSE_SHARDS"].split(","):
        client = oracle.client_of(url, universe.env)
        rows = client.query(
            f"SELECT numeric_value FROM {universe.name}.score_current WHERE scorecard_id = %(id)s",
            parameters={"id": scorecard},
        ).result_rows
        found |= {row[0] for row in rows}
        client.close()
    return found


def _read_again(universe: Universe, table: str) -> set[str]:
    """Ids of the rows that stand in the topic as reads of an incremental snapshot."""
    topic, key = f"{universe.name}.app.{table}", table.removesuffix("s") + "_id"
    consumer = Consumer(
        {"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"], "group.id": universe.name,
         "enable.partition.eof": True, "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    )  # fmt: skip
    partitions = [TopicPartition(topic, number, 0) for number in consumer.list_topics(topic).topics[topic].partitions]
    consumer.assign(partitions)
    found, ends = set(), set()
    while len(ends) < len(partitions):
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            ends.add(message.partition())
        elif (change := json.loads(message.value()))["op"] == "r" and change["source"]["snapshot"] == "incremental":
            found.add(change["after"][key])
    consumer.close()
    return found
