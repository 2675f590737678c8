"""What the brokers deny, from their answers."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AclOperation

from stream.kafka.access import Access
from stream.kafka.topic_partition import TP


def told(*operations: str) -> Future[Any]:
    answer: Future[Any] = Future()
    answer.set_result(SimpleNamespace(authorized_operations=[AclOperation[each] for each in operations]))
    return answer


def failed(code: int) -> Future[Any]:
    answer: Future[Any] = Future()
    answer.set_exception(KafkaException(KafkaError(code)))
    return answer


class Admin:
    def __init__(self, answers: dict[str, Future[Any]]) -> None:
        self.answers = answers
        self.tried: list[tuple[str, bool]] = []

    def describe_topics(self, names: Any, **_: Any) -> dict[str, Future[Any]]:
        return self.answers

    def describe_consumer_groups(self, names: list[str], **_: Any) -> dict[str, Future[Any]]:
        return {name: self.answers[name] for name in names}

    def create_topics(self, topics: list[Any], *, validate_only: bool, **_: Any) -> dict[str, Future[Any]]:
        self.tried += [(topic.topic, validate_only) for topic in topics]
        return {topic.topic: self.answers[topic.topic] for topic in topics}


def access(answers: dict[str, Future[Any]], *there: str) -> tuple[Access, Admin]:
    admin = Admin(answers)
    broker: Any = SimpleNamespace(
        admin=admin,
        asking=lambda *_: nullcontext(),
        partitions=lambda topics: [TP(name, 0) for name in there if name in topics],
    )
    return Access(broker), admin


def test_operations_that_are_not_granted_are_denied() -> None:
    asked, _ = access({
        "whole": told("READ", "WRITE", "DESCRIBE"),
        "read": told("READ", "DESCRIBE"),
        "untold": told(),
        "absent": failed(KafkaError.UNKNOWN_TOPIC_OR_PART),
        "hidden": failed(KafkaError.TOPIC_AUTHORIZATION_FAILED),
    })  # fmt: skip
    assert asked.denied(["whole"], ["READ", "WRITE"]) == {"read": ["WRITE"], "hidden": ["READ", "WRITE"]}


def test_a_group_that_may_not_be_described_is_denied_whole() -> None:
    asked, _ = access(
        {"live": failed(KafkaError.GROUP_AUTHORIZATION_FAILED), "new": failed(KafkaError.GROUP_ID_NOT_FOUND)}
    )
    assert asked.denied_groups(["live", "new"], ["READ", "DESCRIBE"]) == {"live": ["DESCRIBE", "READ"]}


def test_only_missing_topics_are_tried_and_none_is_created() -> None:
    asked, admin = access({"a": failed(KafkaError.TOPIC_AUTHORIZATION_FAILED), "b": told()}, "there")
    assert asked.denied_to_create(["a", "b", "there"]) == ["a"]
    assert admin.tried == [("a", True), ("b", True)]


def test_any_other_error_is_raised() -> None:
    asked, _ = access({"a": failed(KafkaError.REQUEST_TIMED_OUT)})
    with pytest.raises(KafkaException):
        asked.denied(["a"], ["READ"])
