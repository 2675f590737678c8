"""What other processes tell, and what becomes of one that is silent."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from stream.errors import KafkaUnavailable
from stream.monitor.sources import processes
from stream.monitor.sources.processes import ProcessSource, addresses
from stream.web.asker import AskFailed

BODY = b'{"role": "worker", "host": "h", "pid": 7, "started": 1.0, "now": 2.0, "samples": {}, "ending": %s}'


class Asker:
    """One process; silent when `body` is None."""

    def __init__(self) -> None:
        self.body: bytes | None = BODY % b"false"

    def get(self, _url: str) -> bytes:
        if self.body is None:
            raise AskFailed("connection refused")
        return self.body

    def close(self) -> None:
        pass


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> tuple[ProcessSource, Any]:
    made = ProcessSource(["http://127.0.0.1:6066"])
    made._asker = Asker()  # type: ignore[assignment]
    return made, made._asker


def test_silence_is_told_with_its_cause_and_its_beginning(source: tuple[ProcessSource, Any]) -> None:
    asked, asker = source
    (process,) = asked.read(100)
    assert process.up
    asker.body = None
    asked.read(103)
    (process,) = asked.read(106)
    assert (process.up, process.left, process.error, process.silent_since) == (False, False, "connection refused", 103)


def test_one_that_said_it_ends_has_left(source: tuple[ProcessSource, Any]) -> None:
    asked, asker = source
    asker.body = BODY % b"true"
    asked.read(100)
    asker.body = None
    (process,) = asked.read(103)
    assert process.left


def test_an_address_that_its_name_no_longer_has_has_left(
    source: tuple[ProcessSource, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a pod that answered
    asked, asker = source
    asked.read(100)
    # when the name has another pod's address
    monkeypatch.setattr(processes, "addresses", lambda _urls: ["http://10.0.0.9:6066"])
    asked._resolved_at = float("-inf")
    asker.body = (BODY % b"false").replace(b'"pid": 7', b'"pid": 8')
    found = {process.url: process for process in asked.read(103)}
    # then the first has left, and is forgotten an hour later
    assert found["http://127.0.0.1:6066"].left
    later = {process.url for process in asked.read(103 + processes.FORGET_S + 1)}
    assert later == {"http://10.0.0.9:6066"}


def test_a_name_that_cannot_be_resolved_is_left_out() -> None:
    assert addresses(["http://127.0.0.1:6066/", "http://no-such-host.invalid:1"]) == ["http://127.0.0.1:6066"]


class Pids:
    """A process at each port, whose pid is the port."""

    def get(self, url: str) -> bytes:
        port = urlsplit(url).port
        return (BODY % b"false").replace(b'"pid": 7', b'"pid": %d' % port)

    def close(self) -> None:
        pass


def test_processes_that_announce_themselves_are_asked_without_configuration() -> None:
    # given nothing configured, and two processes that say where they answer
    heard: list[str] = ["http://127.0.0.1:40001", "http://127.0.0.1:40002"]
    source = ProcessSource([], announced=lambda: heard)
    source._asker = Pids()  # type: ignore[assignment]
    assert [(each.up, each.document.pid) for each in source.read(100) if each.document] == [
        (True, 40001),
        (True, 40002),
    ]
    # when one is not announced any more
    heard.pop()
    source._heard_at = float("-inf")
    # then it has left: its silence is no fault
    left = {each.url: each.left for each in source.read(105)}
    assert left == {"http://127.0.0.1:40001": False, "http://127.0.0.1:40002": True}


def test_while_the_brokers_are_away_the_last_announcements_count() -> None:
    answers: list[Any] = [["http://127.0.0.1:40001"]]

    def announced() -> list[str]:
        if not answers:
            raise KafkaUnavailable("away")
        return answers.pop()  # type: ignore[no-any-return]

    source = ProcessSource([], announced=announced)
    source._asker = Pids()  # type: ignore[assignment]
    source.read(100)
    source._heard_at = float("-inf")
    (process,) = source.read(105)
    assert process.up


class Silent:
    """Every address drops the question; counts those that wait at the same time. `all_in` holds them together."""

    def __init__(self, count: int) -> None:
        self.all_in = threading.Barrier(count, timeout=10)
        self.asked: list[str] = []

    def get(self, url: str) -> bytes:
        self.asked.append(url)
        self.all_in.wait()
        raise AskFailed("timed out")

    def close(self) -> None:
        pass


def test_addresses_that_drop_questions_are_asked_side_by_side_and_after_a_while_left_out_for_a_minute() -> None:
    # given three processes that announce addresses of another network
    heard = [f"http://127.0.0.1:{port}" for port in (40001, 40002, 40003)]
    source = ProcessSource([], announced=lambda: heard)
    source._asker = silent = Silent(3)  # type: ignore[assignment]
    # when they are asked, then all of them are asked before one has answered
    assert source.read(100) == []
    assert not silent.all_in.broken
    # and a few times more, for a process that starts may be slow; after that once a minute
    asked = []
    for now in (103, 110, 113, 169, 170, 173):
        source.read(now)
        asked.append(len(silent.asked))
    assert asked == [6, 9, 9, 9, 12, 12]


def test_a_process_that_answered_or_is_listed_is_asked_at_each_look(source: tuple[ProcessSource, Any]) -> None:
    # given a listed address that never answered
    asked, asker = source
    asker.body = None
    asked.read(100)
    # when it answers, then it is there at once, and its silence is seen at once
    asker.body = BODY % b"false"
    assert [process.up for process in asked.read(103)] == [True]
    asked._urls.clear()
    asked._heard = list(asked._addresses)
    asker.body = None
    assert [process.up for process in asked.read(106)] == [False]


def test_an_address_that_is_announced_again_is_asked_at_once() -> None:
    # given an address that did not answer, and that nobody announces any more
    heard = ["http://127.0.0.1:40001"]
    source = ProcessSource([], announced=lambda: heard)
    source._asker = Silent(1)  # type: ignore[assignment]
    source.read(100)
    heard.clear()
    source._heard_at = float("-inf")
    source.read(105)
    # when another process announces it
    heard.append("http://127.0.0.1:40001")
    source._heard_at = float("-inf")
    source._asker = Pids()  # type: ignore[assignment]
    # then that one is found
    assert [process.up for process in source.read(110)] == [True]
