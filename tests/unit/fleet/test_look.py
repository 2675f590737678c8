"""Installations that answer, hang, refuse, or answer in another form: each has its row, and none delays another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from stream.errors import KafkaUnavailable
from stream.fleet.look import FleetLook
from testbed.universe import wait_for
from tests.unit.fleet.test_rows import document

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Lets the ones that hang go on at the end."""
    event = threading.Event()
    yield event
    event.set()


def hanging(event: threading.Event) -> Any:
    def ask() -> dict[str, Any]:
        event.wait(60)
        raise KafkaUnavailable("too late")

    return ask


def away() -> dict[str, Any]:
    raise KafkaUnavailable("Kafka at k:9092: no answer")


def test_one_that_hangs_delays_no_other(held: threading.Event) -> None:
    # given twenty installations that answer, one that hangs, one that refuses
    asks = {f"i{n:02}": (lambda n=n: document(cluster=str(n))) for n in range(20)}
    look = FleetLook(asks | {"hangs": hanging(held), "away": away})
    # when all are asked
    began = time.monotonic()
    rows = look.once(timeout_s=2.0)
    # then the answers come with the deadline, and the two are rows, too
    assert time.monotonic() - began < 20
    assert [(each.name, each.level, each.sentence) for each in rows[:2]] == [
        ("away", "silent", "no answer: Kafka at k:9092: no answer"),
        ("hangs", "silent", "no answer within 2 s"),
    ]
    assert {each.level for each in rows[2:]} == {"fresh"}
    assert len(rows) == 22


def test_all_that_answer_are_waited_for_no_longer_than_they_take() -> None:
    began = time.monotonic()
    FleetLook({"a": document}).once(timeout_s=30)
    assert time.monotonic() - began < 20


def test_an_answer_of_another_release_is_a_row() -> None:
    (row,) = FleetLook({"old": lambda: {"headline": "?"}}).once(timeout_s=5)
    assert (row.level, row.sentence) == (
        "silent", "its monitor answers in another form: it may be of another release",
    )  # fmt: skip


def test_a_watched_installation_that_falls_silent_says_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    # given an answer that is old by now, and none since
    answers = [document()]

    def ask() -> dict[str, Any]:
        if not answers:
            raise KafkaUnavailable("k:9092 is away")
        return answers.pop()

    look = FleetLook({"a": ask})
    assert look.once(timeout_s=5)[0].level == "fresh"
    look.once(timeout_s=5)
    # when it has been silent for long
    later = time.time() + 90
    monkeypatch.setattr("stream.fleet.look.time.time", lambda: later)
    (row,) = look.rows()
    # then the row says so
    assert row.sentence.startswith("no answer for 1 min 30 s: k:9092 is away") or "1 min 29 s" in row.sentence


def test_it_asks_again_and_again_until_it_is_stopped() -> None:
    asked = threading.Semaphore(0)

    def ask() -> dict[str, Any]:
        asked.release()
        return document()

    look = FleetLook({"a": ask}, every_s=0.01).start()
    assert asked.acquire(timeout=5)
    assert asked.acquire(timeout=5)
    look.stop()


def test_twenty_are_asked_side_by_side_once_each_and_a_viewer_asks_none() -> None:
    # given twenty installations, none of which answers before all are asked
    together, asked = threading.Barrier(20), []

    def ask(name: str) -> dict[str, Any]:
        asked.append(name)
        together.wait(timeout=30)
        return document(cluster=name)

    names = [f"i{number:02}" for number in range(20)]
    look = FleetLook({name: partial(ask, name) for name in names})
    # when one look asks them
    rows = look.once(timeout_s=30)
    # then it took as long as one of them, and each was asked once
    assert {each.level for each in rows} == {"fresh"}
    assert sorted(asked) == names
    # and viewers get what is known
    for _ in range(3):
        assert len(look.table()["rows"]) == 20
        assert all(look.state(name) for name in names)
    assert len(asked) == 20


def test_each_has_its_document_and_its_last_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    # given one that answers, and one that does not
    look = FleetLook({"a": document, "away": away})
    with look:
        wait_for("both were asked", lambda: look.history("a", 0)["t"] and look.history("away", 0)["t"])
        assert "a" in look
        assert "b" not in look
        found = look.state("a")
        assert found is not None
        assert (found["headline"]["level"], found["fleet"]) == ("fresh", "../../fleet")
        assert look.history("a", 0)["series"]["freshness"] == [0.0]
        assert look.state("away") is None
        assert [each["title"] for each in look.history("away", 0)["events"]] == ["no answer"]
    # when an answer is old
    later = time.time() + 90
    monkeypatch.setattr("stream.fleet.look.time.time", lambda: later)
    # then it is shown no more
    assert look.state("a") is None
