"""A topic that was deleted and created again has another id."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.errors import KafkaUnavailable
from stream.kafka.topic_ids import TopicIds


class Admin:
    """Answers describe_topics with these ids; None = no such topic."""

    def __init__(self, ids: dict[str, str | None]) -> None:
        self.ids = ids
        self.away = False

    def describe_topics(self, _topics: Any, **_options: Any) -> dict[str, Future[Any]]:
        answers = {}
        for topic, own in self.ids.items():
            answers[topic] = answer = Future[Any]()
            if self.away:
                answer.set_exception(KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)))
            elif own is None:
                answer.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
            else:
                answer.set_result(SimpleNamespace(topic_id=own))
        return answers


def looking(admin: Admin) -> TopicIds:
    return TopicIds(admin, list(admin.ids))  # type: ignore[arg-type]


def test_only_another_id_is_a_change() -> None:
    # given two topics at the first look
    admin = Admin({"scores": "one", "chats": "two"})
    ids = looking(admin)
    assert ids.changed() == set()
    # when one is missing for a moment and has another id after it
    admin.ids["scores"] = None
    assert ids.changed() == set()
    admin.ids["scores"] = "three"
    # then it has changed, once
    assert ids.changed() == {"scores"}
    assert ids.changed() == set()


def test_without_brokers_nothing_is_known() -> None:
    admin = Admin({"scores": "one"})
    ids = looking(admin)
    admin.away = True
    with pytest.raises(KafkaUnavailable):
        ids.changed()
