"""Where processes answer: what they say, whom a monitor believes, and what a refusal costs."""

from __future__ import annotations

import logging
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from stream.kafka.announcement import Announcement, announced, group_of, reached_at
from stream.kafka.groups import Group, GroupMember
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames
from testbed.universe import wait_for

NAMES = TopicNames("s", "app", "dl")
HOST = socket.gethostname()


class Member:
    """A consumer that is a member until it is closed."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.code = 1
        self.polls = 0
        self.subscribed: list[str] = []
        self.assigned: list[Any] = []
        self.closed = threading.Event()

    def subscribe(self, topics: list[str], *, on_assign: Any) -> None:
        self.subscribed = topics
        on_assign(self, ["a partition"])

    def assign(self, partitions: list[Any]) -> None:
        self.assigned.append(partitions)

    def poll(self, timeout_s: float) -> Any:
        self.polls += 1
        threading.Event().wait(0.01)
        if self.error is None:
            return None
        error = SimpleNamespace(code=lambda code=self.code: code, str=lambda text=self.error: text)
        return SimpleNamespace(error=lambda: error)

    def close(self) -> None:
        self.closed.set()


class Brokers:
    """Brokers with one consumer to give, and members of the group."""

    topics = NAMES
    settings = KafkaSettings()

    def __init__(self, member: Member | None = None, client_ids: tuple[str, ...] = ()) -> None:
        self.member = member
        self.client_ids = client_ids
        self.asked: list[Any] = []

    def consumer(self, group: str, options: dict[str, Any]) -> Any:
        self.asked.append((group, options["client.id"], options["session.timeout.ms"]))
        return self.member

    def group(self, name: str) -> Group:
        assert name == group_of(NAMES)
        return Group("STABLE", tuple(GroupMember(each, each, "/10.0.0.1", ()) for each in self.client_ids))


def test_a_process_is_a_member_while_it_lives_and_fetches_nothing() -> None:
    member = Member()
    brokers: Any = Brokers(member)
    with Announcement(brokers, url="http://127.0.0.1:6066", role="worker"):
        wait_for("it answers heartbeats", lambda: member.polls > 2, deadline_s=10)
        ((group, client_id, session_ms),) = brokers.asked
        assert (group, session_ms) == ("s-processes", 20_000)
        assert (member.subscribed, member.assigned) == ([NAMES.sources[0]], [[]])
    assert member.closed.wait(5)
    # and a monitor of this host finds it by that
    assert announced(Brokers(client_ids=(client_id,))) == ["http://127.0.0.1:6066"]  # type: ignore[arg-type]


def test_a_refusal_is_said_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    member = Member("Group authorization failed")
    brokers: Any = Brokers(member)
    with caplog.at_level(logging.WARNING), Announcement(brokers, url="http://127.0.0.1:6066", role="worker"):
        wait_for("it tries again", lambda: member.polls > 5, deadline_s=10)
    (record,) = [each for each in caplog.records if each.name == "stream.kafka.announcement"]
    assert vars(record)["cause"] == "Group authorization failed"


def test_brokers_that_are_away_at_the_start_hide_no_refusal(caplog: pytest.LogCaptureFixture) -> None:
    member = Member("Connection refused (after 1 ms)")
    brokers: Any = Brokers(member)
    own = Announcement(brokers, url="http://127.0.0.1:6066", role="worker")
    with caplog.at_level(logging.WARNING), own:
        wait_for("it tries", lambda: member.polls > 1, deadline_s=10)
        member.error = "Connection refused (after 2 ms)"  # the same error in other words
        before = member.polls
        wait_for("it tries again", lambda: member.polls > before + 2, deadline_s=10)
        member.code, member.error = 30, "Group authorization failed"
        before = member.polls
        wait_for("it is refused", lambda: member.polls > before + 2, deadline_s=10)
    said = [vars(each)["cause"] for each in caplog.records if each.name == "stream.kafka.announcement"]
    assert said == ["Connection refused (after 1 ms)", "Group authorization failed"]


def test_loopback_addresses_of_other_hosts_and_other_programs_do_not_count() -> None:
    found = announced(
        Brokers(  # type: ignore[arg-type]
            client_ids=(
                "scorestream worker http://127.0.0.1:6066 another-host 7",
                "scorestream worker http://localhost:6067 another-host 7",
                "scorestream replay http://10.0.0.7:40001 another-host 8",
                f"scorestream verify http://[::1]:6068 {HOST} 9",
                "rdkafka",
                f"scorestream worker file:///etc/passwd {HOST} 7",
                f"scorestream worker http://10.0.0.7:80/elsewhere {HOST} 7",
                f"scorestream worker http://10.0.0.7:port {HOST} 7",
            )
        )
    )
    assert found == ["http://10.0.0.7:40001", "http://[::1]:6068"]


def test_an_address_of_all_interfaces_becomes_one_that_others_reach() -> None:
    assert reached_at("http://10.1.2.3:6066", "127.0.0.1:9092") == "http://10.1.2.3:6066"
    assert reached_at("http://0.0.0.0:6066", "127.0.0.1:9092,other:9092") == "http://127.0.0.1:6066"
    assert reached_at("http://[::]:6066", "127.0.0.1:9092") == "http://127.0.0.1:6066"
    assert reached_at("http://0.0.0.0:6066", "no-such-host.invalid:9092") == f"http://{HOST}:6066"
