"""verify on real stores: it finds every damage done by hand with its reason, repairs it, and touches nothing else."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from stream.postgres import connection
from testbed.universe import SCORESTREAM, Universe, wait_for
from testbed.workload import Workload
from tests.damage import DAMAGES, Damage, on_both_shards

pytestmark = pytest.mark.stack


@pytest.fixture
def universe(stack_env: dict[str, str], tmp_path: Path) -> Iterator[Universe]:
    """Both stores, without a connector: what the tests compare does not move."""
    with Universe(stack_env, tmp_path) as made:
        made.run("schema", "apply")
        yield made


@pytest.fixture
def damage(universe: Universe) -> Iterator[Damage]:
    found = Damage(universe.env, universe.name)
    yield found
    found.close()


def verify(universe: Universe, *options: str, code: int = 0) -> dict[str, Any]:
    ended, printed, said = universe.call("verify", "--no-wait", "--json", *options)
    assert ended == code, printed + said
    found: dict[str, Any] = json.loads(printed)
    return found


def fill(universe: Universe, count: int) -> list[str]:
    """Rows in Postgres, the same in ClickHouse; returns the scorecards that are shown, with a score at least."""
    with universe.postgres() as connection:
        workload = Workload(connection, seed=5)
        workload.add(count)
        connection.execute(
            "UPDATE app.scorecards SET score = '-0.0' WHERE scorecard_id = %s", (workload.scorecards[0],)
        )
        shown = connection.execute(
            "SELECT scorecard_id::text FROM app.scorecards LEFT JOIN app.chats USING (conversation_id) "
            "WHERE coalesce(scorecard_type, 0) = 0 AND (coalesce(conversation_id, '') = '' OR started_at IS NOT NULL) "
            "ORDER BY 1"
        ).fetchall()
    universe.done("reindex", "--all")
    assert universe.differences() == []
    return [row[0] for row in shown]


def test_equal_stores_are_clean_and_the_report_counts(universe: Universe) -> None:
    # given the same rows in both stores
    shown = fill(universe, 60)
    # when they are compared
    found = verify(universe, "--report")
    # then nothing differs, and the tables have the same counts on both sides
    assert found["clean"]
    assert found["findings"] == []
    assert found["rows"]["scorecard"] == len(shown)
    assert sum(day["scorecards"] for day in found["days"]) == len(shown)
    assert all(day["scorecards"] == day["scorecards_shown"] for day in found["days"])
    assert all(each["scorecards"] == each["shown"] for each in found["templates"])
    appeals = sum(each["replica"] + each["request"] + each["resolve"] for each in found["appeals"])
    assert appeals == 60 - len(shown)
    assert all(each["visible_scorecards"] == 0 == each["visible_scores"] for each in found["appeals"])
    # and a scope holds less than the whole
    part = verify(universe, "--customer", "spirit", "--from", "2026-01-10", "--to", "2026-01-20", "--kind", "process")
    assert part["clean"]
    assert sum(part["rows"].values()) < sum(found["rows"].values())


def test_a_repair_with_a_report_opens_two_connections(universe: Universe, damage: Damage) -> None:
    # given a row that differs
    shown = fill(universe, 20)
    next(iter(DAMAGES.values()))[0](damage, shown[0])
    # when it is repaired, and counted
    with mock.patch.object(connection, "connect", wraps=connection.connect) as opened:
        assert verify(universe, "--repair", "--report")["repaired_scorecards"] == 1
    # then one connection was for the snapshot of each comparison, and one for everything else
    timeouts = [call.kwargs["statement_timeout_s"] for call in opened.call_args_list]
    comparisons = 2
    assert len(timeouts) == comparisons + 1


def test_each_damage_is_found_with_its_reason_and_repaired(universe: Universe, damage: Damage) -> None:
    # given scorecards, each damaged in another way
    shown = fill(universe, 60)
    chosen = dict(zip(DAMAGES, shown, strict=False))
    for name, (spoil, _) in DAMAGES.items():
        spoil(damage, chosen[name])
    # when both stores are compared
    found = verify(universe, code=3)
    # then each of them is found, with its reason, and nothing else
    by_scorecard: dict[str, list[tuple[str, str]]] = {}
    for each in found["findings"]:
        by_scorecard.setdefault(each["scorecard_id"], []).append((each["what"], each["reason"]))
    assert by_scorecard.keys() == set(chosen.values())
    for name, (_, wanted) in DAMAGES.items():
        told = by_scorecard[chosen[name]]
        assert len(told) == len(wanted), (name, told)
        for what, words in wanted:
            assert any(kind == what and words in reason for kind, reason in told), (name, told)
        # and explain tells the same story
        story = json.loads(universe.call("explain", "--no-kafka", "--json", chosen[name])[1])
        assert story["verdict"] == "wrong", name
        assert wanted[0][1] in story["sentence"], (name, story["sentence"])
    # and when they are repaired
    before = stored_at(damage)
    repaired = verify(universe, "--repair")
    # then exactly those were written again, and both stores are equal
    assert repaired["clean"]
    assert repaired["repaired_scorecards"] == len(DAMAGES)
    assert universe.differences() == []
    after = stored_at(damage)
    untouched = set(shown) - set(chosen.values())
    assert {i: after[i] for i in untouched} == {i: before[i] for i in untouched}


def stored_at(damage: Damage) -> dict[str, str]:
    """When each scorecard's row was stored."""
    return {
        str(scorecard): str(at)
        for client in damage.clients
        for scorecard, at in client.query(
            f"SELECT scorecard_id, _indexed_at FROM {damage.database}.scorecard FINAL"
        ).result_rows
    }


def test_rows_that_must_not_be_there(universe: Universe, damage: Damage) -> None:
    # given shown scorecards that became an appeal, of an unknown type, without a conversation, or vanished, unseen
    shown = fill(universe, 60)
    with universe.postgres() as connection:
        conversations = [
            row[0]
            for row in connection.execute(
                "SELECT scorecard_id::text FROM app.scorecards WHERE scorecard_id = ANY(%s::uuid[]) "
                "AND coalesce(conversation_id, '') <> '' ORDER BY 1 LIMIT 4",
                (shown,),
            )
        ]
        appeal, unknown, waiting, gone = conversations
        connection.execute("UPDATE app.scorecards SET scorecard_type = 2 WHERE scorecard_id = %s", (appeal,))
        connection.execute("UPDATE app.scorecards SET scorecard_type = 9 WHERE scorecard_id = %s", (unknown,))
        connection.execute(
            "DELETE FROM app.chats WHERE conversation_id = "
            "(SELECT conversation_id FROM app.scorecards WHERE scorecard_id = %s)",
            (waiting,),
        )
        connection.execute("DELETE FROM app.scorecards WHERE scorecard_id = %s", (gone,))
    # and the appeal's row stands on both shards
    on_both_shards(damage, appeal)
    # when both stores are compared
    found = verify(universe, code=3)
    # then all their rows are extra, each for its reason
    reasons = {each["scorecard_id"]: each["reason"] for each in found["findings"]}
    assert {each["what"] for each in found["findings"]} == {"extra"}
    assert reasons.keys() == set(conversations)
    assert "appeal (scorecard_type 2, request" in reasons[appeal]
    assert "unknown scorecard_type 9" in reasons[unknown]
    assert "is not in Postgres" in reasons[waiting]
    assert reasons[gone] == "scorecard gone in Postgres"
    assert sum(each["visible_scorecards"] for each in found["appeals"]) == 2  # counted on each shard
    assert sum(each["visible_scores"] for each in found["appeals"]) > 0
    # and a repair retires them
    assert verify(universe, "--repair")["clean"]
    assert universe.differences() == []
    sentences = {i: json.loads(universe.done("explain", "--no-kafka", "--json", i))["verdict"] for i in conversations}
    assert sentences == {appeal: "appeal", unknown: "unknown type", waiting: "waiting", gone: "not in postgres"}


@pytest.mark.long
def test_rows_that_clickhouse_cannot_hold_say_so(universe: Universe) -> None:
    # given a score that is not finite and a time beyond DateTime64
    shown = fill(universe, 30)
    with universe.postgres() as connection:
        connection.execute("UPDATE app.scorecards SET score = 'NaN' WHERE scorecard_id = %s", (shown[0],))
        connection.execute(
            "UPDATE app.scorecards SET submitted_at = '9999-01-01+00' WHERE scorecard_id = %s", (shown[1],)
        )
    universe.done("reindex", "--all")
    # when both stores are compared: what stood before the changes is retired
    found = verify(universe, code=3)
    # then both are found
    told = {each["scorecard_id"]: each["reason"] for each in found["findings"] if each["what"] == "missing"}
    assert told.keys() == {shown[0], shown[1]}
    assert "cannot be indexed: score is not finite" in told[shown[0]]
    assert "cannot be indexed: submitted_at is outside of 1900 to 2299" in told[shown[1]]
    story = universe.run("explain", "--no-kafka", shown[0], check=False)
    assert story.returncode == 3
    assert "score is not finite" in story.stdout.splitlines()[-1]


def test_an_empty_clickhouse_is_filled_by_repair(universe: Universe) -> None:
    # given rows in Postgres only
    with universe.postgres() as connection:
        Workload(connection, seed=8).add(40)
    # when they are compared, and repaired
    found = verify(universe, "--limit", "5", code=3)
    assert found["missing"] >= 5
    assert len(found["findings"]) == 5
    # then all of them are there
    assert verify(universe, "--repair")["clean"]
    assert universe.differences() == []


def test_a_run_without_the_pipeline_says_so(universe: Universe) -> None:
    # given no connector, hence no slot
    # when verify is to wait for the pipeline
    done = universe.run("verify", check=False)
    # then it says what is missing, and the way out
    assert done.returncode == 2
    assert "no replication slot" in done.stderr
    assert "--no-wait" in done.stderr


def test_ids_that_are_text_in_postgres_are_the_same_ids(universe: Universe, damage: Damage) -> None:
    # given a source whose ids are text, spelled in capitals here and there, and empty where there is none
    with universe.postgres() as connection:
        Workload(connection, seed=6).add(30)
        connection.execute("ALTER TABLE app.scores DROP CONSTRAINT scores_scorecard_id_fkey")
        for table, columns in {
            "scorecards": ("scorecard_id", "template_id", "agent_user_id"),
            "scores": ("score_id", "scorecard_id", "criterion_id"),
        }.items():
            for column in columns:
                connection.execute(f"ALTER TABLE app.{table} ALTER COLUMN {column} TYPE text USING {column}::text")
        connection.execute("UPDATE app.scorecards SET agent_user_id = '' WHERE agent_user_id IS NULL")
        shouted = connection.execute(
            "SELECT min(scorecard_id) FROM app.scorecards WHERE scorecard_type IS NULL"
        ).fetchone()
        assert shouted is not None
        for table in ("scores", "scorecards"):
            connection.execute(
                f"UPDATE app.{table} SET scorecard_id = upper(scorecard_id) WHERE scorecard_id = %s", shouted
            )
    # when all is indexed, then it is equal
    universe.done("reindex", "--all")
    assert verify(universe)["clean"]
    # and a repair of the one in capitals keeps it
    damage.delete("scorecard", damage.shard_of("scorecard", shouted[0]), shouted[0])
    assert [each["what"] for each in verify(universe, code=3)["findings"]] == ["missing"]
    assert verify(universe, "--repair")["clean"]


@pytest.mark.long
def test_watch_repeats_and_exposes_its_metrics(universe: Universe, damage: Damage) -> None:
    # given equal stores, and a verify that repeats every second
    shown = fill(universe, 20)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [SCORESTREAM, "verify", "--no-wait", "--watch", "1s"],
        env=universe.env | {"SCORESTREAM_WEB_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def metric(name: str) -> float | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None
        own = [re.sub(r',?installation="[^"]*"', "", line).replace("{,", "{").replace("{}", "") for line in lines]
        return next((float(line.rpartition(" ")[2]) for line in own if line.startswith(name + " ")), None)

    try:
        # then the time of the last clean comparison moves on
        first = wait_for("a clean run", lambda: metric("scorestream_verify_last_clean_timestamp_seconds"))
        wait_for("another", lambda: (metric("scorestream_verify_last_clean_timestamp_seconds") or 0) > first)
        assert metric('scorestream_verify_cells{result="different"}') == 0
        # and when a row is damaged, it stops, and the finding is counted
        DAMAGES["added"][0](damage, shown[0])
        wait_for("the extra row is counted", lambda: metric('scorestream_verify_rows{finding="extra"}') == 1)
        before = metric("scorestream_verify_last_clean_timestamp_seconds")
        last = metric("scorestream_verify_last_run_timestamp_seconds") or 0
        wait_for("another run", lambda: (metric("scorestream_verify_last_run_timestamp_seconds") or 0) > last)
        assert metric("scorestream_verify_last_clean_timestamp_seconds") == before
    finally:
        process.terminate()
        out, _ = process.communicate(timeout=30)
    # and SIGTERM ends it well
    assert process.returncode == 0
    assert "verify: clean" in out
    assert "1 extra" in out
