"""`scorestream lag` believes a monitor of its own installation only."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import ConfigError, KafkaUnavailable
from stream.monitor.looker import Looker, Pinned
from stream.monitor.monitor import Names, Since
from stream.monitor.screen import answered_by
from stream.web.asker import AskFailed

NAMES = Names(
    "scorestream-live", "scorestream", "scorestream", "contact_centre.app", "scorestream", installation="eu-1"
)
URL = "http://127.0.0.1:6067/api/state"


def document(**installation: str) -> dict[str, Any]:
    own = {"cluster": "A", "source": NAMES.source, "clickhouse": NAMES.clickhouse} | installation
    return {
        "name": "as the monitor has it",
        "group": NAMES.group,
        "topics": [{"topic": "scorestream.app.scores"}],
        "installation": own,
    }


class Brokers:
    """Brokers of cluster A; none when `away`."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    def cluster_id(self) -> str:
        if self.away:
            raise KafkaUnavailable("kafka.cluster-b.example:9092 does not answer")
        return "A"

    def close(self) -> None:
        pass


def looking(answer: dict[str, Any] | None, *, away: bool = False, pinned: str | None = None) -> Looker:
    own = {"installation": {"cluster": "A"}, "looked": True}
    polled = SimpleNamespace(kafka=SimpleNamespace(source=SimpleNamespace(at=1)))
    monitor: Any = SimpleNamespace(once=lambda: own, close=lambda: None, polled=polled)
    brokers: Any = Brokers(away=away) if pinned is None else Pinned(pinned)
    looker = Looker(brokers, names=NAMES, urls=[URL], open_monitor=lambda: monitor, steady=False)  # type: ignore[arg-type,return-value]

    def get(_url: str) -> bytes:
        if answer is None:
            raise AskFailed("connection refused")
        return json.dumps(answer).encode()

    looker._asker = SimpleNamespace(get=get, close=lambda: None)  # type: ignore[assignment]
    return looker


def test_the_own_monitor_is_believed_and_the_screen_says_so() -> None:
    with looking(document()) as looker:
        found = looker.look()
    assert found["from"] == URL
    assert answered_by(found).startswith(
        "installation eu-1: cluster A, source contact_centre.app, ClickHouse database scorestream; "
    )


@pytest.mark.parametrize("other", [{"cluster": "B"}, {"source": "another.app"}, {"clickhouse": "green"}])
def test_another_installations_monitor_is_not_believed(other: dict[str, str]) -> None:
    with looking(document(**other)) as looker:
        found = looker.look()
    assert found["from"] == "this command"
    # and the answer says which URL is wrong, and whose it is
    (why,) = found["not_believed"]
    assert why.startswith(f"the monitor {URL} is of another installation: ")
    assert next(iter(other.values())) in why


def test_without_a_monitor_it_looks_itself() -> None:
    with looking(None) as looker:
        assert looker.look()["looked"]


def test_a_monitor_that_was_silent_once_is_asked_again_and_ends_the_looks_of_its_own() -> None:
    with looking(None) as looker:
        # given a monitor that missed one question
        own: Any = looker._open()
        closed: list[bool] = []
        own.close = lambda: closed.append(True)
        assert looker.look()["from"] == "this command"
        # when it answers again
        looker._asker.get = lambda _url: json.dumps(document()).encode()  # type: ignore[method-assign]
        found = looker.look()
        # then it counts, its silence is forgotten, and nothing of the own looks stays open
        assert (found["from"], found["not_believed"], closed) == (URL, [], [True])
        # and once more silent, this command looks itself again
        looker._asker.get = looking(None)._asker.get  # type: ignore[method-assign]
        found = looker.look()
    assert (found["from"], len(found["not_believed"]), closed) == ("this command", 1, [True, True])


def test_the_document_says_which_name_the_monitor_has() -> None:
    with looking(document()) as looker:
        assert (looker.look()["name"], looker.look()["told_as"]) == ("eu-1", "as the monitor has it")
    with looking(None) as looker:
        assert looker.look()["told_as"] == "eu-1"


def test_where_nobody_answers_the_error_names_the_monitor_and_the_brokers() -> None:
    looker = looking(None)
    looker._open().polled.kafka.source = SimpleNamespace(at=None, error="k:9092 is away")  # type: ignore[assignment]
    with (
        looker,
        pytest.raises(KafkaUnavailable, match=f"the monitor {URL} does not answer: .* refused; k:9092 is away"),
    ):
        looker.look()


def test_an_own_look_at_other_brokers_than_the_file_names_is_refused() -> None:
    with looking(None, pinned="A") as looker:
        assert looker.look()["name"] == "eu-1"
    with looking(None, pinned="B") as looker, pytest.raises(ConfigError, match=r"installation eu-1: .* A, not B"):
        looker.look()


def test_where_the_own_brokers_do_not_answer_no_monitor_answers_for_them() -> None:
    with looking(document(), away=True) as looker, pytest.raises(KafkaUnavailable, match="cluster-b"):
        looker.look()


def test_since_begins_again_with_every_other_value() -> None:
    since = Since()
    assert [since.of("slot", value, at) for value, at in ((True, 1), (True, 2), (False, 3), (True, 4))] == [1, 1, 3, 4]
