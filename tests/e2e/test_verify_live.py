"""verify and explain beside the live pipeline: they wait for it, and never cry wolf."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from devstack.stack import Stack
from testbed.universe import Universe, wait_for
from testbed.workload import Workload
from tests.damage import Damage, altered

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def universe(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Universe]:
    with Universe(stack.env(), tmp_path_factory.mktemp("verify")) as made:
        made.set_up()
        yield made


def explain(universe: Universe, scorecard: str, *options: str) -> dict[str, Any]:
    _, printed, said = universe.call("explain", "--json", *options, scorecard)
    assert printed, said
    found: dict[str, Any] = json.loads(printed)
    return found


def verify(universe: Universe, *options: str) -> tuple[int, dict[str, Any]]:
    code, printed, said = universe.call("verify", "--json", *options)
    assert printed, said
    return code, json.loads(printed)


@pytest.mark.long
def test_verify_waits_for_the_pipeline_and_tells_when_it_is_behind(universe: Universe) -> None:
    with universe.postgres() as connection:
        workload = Workload(connection, seed=21)
        # given a worker that has indexed everything
        with universe.worker():
            workload.add(40)
            # when verify runs at once
            code, found = verify(universe)
            # then it waited, and all is clean
            assert (code, found["clean"]) == (0, True), found
        # and when the worker is down and rows change
        shown = next(iter(workload.scorecards))
        connection.execute(
            "UPDATE app.scorecards SET comment = 'later', scorecard_type = 0 WHERE scorecard_id = %s", (shown,)
        )
        code, found = verify(universe, "--timeout", "5")
        # then verify says that nothing can be said yet, and does not call it a difference
        assert code == 1, found
        assert "messages behind" in found["not_comparable_yet"]
        assert found["findings"] == []
        story = explain(universe, shown, "--log", "--timeout", "5")
        assert story["verdict"] == "not yet", story
        assert "messages behind" in story["sentence"]
        assert {entry["op"] for entry in story["log"]} >= {"c", "u"}
        # and once the worker is back, it is clean again
        with universe.worker():
            code, found = verify(universe)
            assert (code, found["clean"]) == (0, True), found
            assert explain(universe, shown)["verdict"] == "indexed"


@pytest.mark.long
def test_verify_of_moving_tables_is_clean_and_finds_what_is_wrong(universe: Universe) -> None:
    with universe.postgres() as connection, universe.worker():
        # given rows that are indexed
        workload = Workload(connection, seed=22)
        workload.add(80)
        # and a scorecard, with a conversation of its own, that no change of the workload touches
        still, conversation = workload.add_scorecard(), workload.uuid()
        workload.scorecards.remove(still)
        workload.add_chat(conversation, "spirit")
        workload.chats.remove(conversation)
        connection.execute(
            "UPDATE app.scorecards SET scorecard_type = NULL, conversation_id = %s WHERE scorecard_id = %s",
            (conversation, still),
        )
        wait_for("it is indexed", lambda: explain(universe, still)["verdict"] == "indexed")
        # and a writer that never rests
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.05):
                workload.change()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            # when verify runs meanwhile, then it finds nothing wrong
            code, found = verify(universe)
            assert found["findings"] == [], found["findings"][:5]
            assert code in (0, 1), found  # 1: some rows changed at every look
            # and when a row is damaged, exactly that is found, and repaired
            damage = Damage(universe.env, universe.name)
            altered(damage, still)
            damage.close()
            code, found = verify(universe)
            assert code == 3
            assert [(f["scorecard_id"], f["what"]) for f in found["findings"]] == [(still, "stale")]
            code, found = verify(universe, "--repair")
            assert found["findings"] == [], found["findings"][:5]
            assert found["repaired_scorecards"] == 1
        finally:
            stop.set()
            writer.join()
        # and the next change of what was repaired wins over the repair
        connection.execute("UPDATE app.scorecards SET comment = 'after the repair' WHERE scorecard_id = %s", (still,))
        universe.wait_until_equal()
        code, found = verify(universe)
        assert (code, found["clean"]) == (0, True), found


def test_explain_survives_somebody_elses_messages(universe: Universe) -> None:
    with universe.postgres() as connection, universe.worker():
        # given a topic with a message that is no JSON, and names the scorecard
        workload = Workload(connection, seed=24)
        workload.add(3)
        scorecard = workload.scorecards[0]
        producer = Producer({"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]})
        producer.produce(f"{universe.name}.app.scores", key=b"x", value=f"junk {scorecard}".encode(), partition=0)
        producer.flush(10)
        universe.wait_until_equal()
        # when its log is asked for, then both are in it
        story = explain(universe, scorecard, "--log")
        assert {entry["op"] for entry in story["log"]} >= {"c", "?"}


def test_a_dead_letter_is_the_reason_of_what_is_missing(universe: Universe) -> None:
    with universe.postgres() as connection, universe.worker():
        # given a scorecard whose score is no number, so that its message is refused
        workload = Workload(connection, seed=23)
        workload.add(10)
        broken = workload.uuid()
        connection.execute(
            "INSERT INTO app.scorecards (scorecard_id, customer_id, template_id, scorecard_time, score) "
            "VALUES (%s, 'spirit', %s, '2026-01-20', 'NaN')",
            (broken, workload.uuid()),
        )
        # when both stores are compared
        code, found = verify(universe)
        # then it is missing, because of that dead letter
        assert code == 3
        (only,) = found["findings"]
        assert (only["scorecard_id"], only["what"]) == (broken, "missing")
        assert "score is not finite" in only["reason"]
        assert f"dead letter {universe.name}.dead-letters-0@" in only["reason"]
        story = explain(universe, broken)
        assert story["verdict"] == "dead letter"
        assert "dead-letters-0@" in story["sentence"]
        assert len(story["dead_letters"]) == 1
