"""The store's own clients: when Kafka's credentials are rotated, and what a request says that got no answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.errors import KafkaUnavailable
from stream.kafka import broker as module
from stream.kafka.broker import Broker
from stream.secret_file import SecretFile
from stream.settings_sections import KafkaSettings
from stream.topic_names import TopicNames


def failing(broker: Broker) -> None:
    with pytest.raises(KafkaUnavailable, match="invalid credentials"), broker.asking():
        raise KafkaException(KafkaError(KafkaError._AUTHENTICATION))


def test_after_a_failure_rotated_credentials_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # given a store whose password comes from a file
    opened: list[dict[str, Any]] = []

    def admin(options: dict[str, Any]) -> object:
        opened.append(options)
        refused = KafkaError(KafkaError._AUTHENTICATION, "invalid credentials")
        return SimpleNamespace(poll=lambda _timeout_s: options["error_cb"](refused))

    monkeypatch.setattr(module, "AdminClient", admin)
    file = tmp_path / "password"
    file.write_text("old")
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="worker",
        sasl_password=SecretFile(file),
    )
    broker = Broker(settings, TopicNames(prefix="p", schema="app", dead_letters="d"))
    first = broker.admin
    # when requests fail, then the client stays as long as the password does
    failing(broker)
    assert broker.admin is first
    # and once it is rotated, the next request opens another
    file.write_text("new")
    failing(broker)
    assert broker.admin is not first
    assert [each["sasl.password"] for each in opened] == ["old", "new"]


def test_a_request_that_nobody_answers_names_the_address_and_the_cause() -> None:
    # given an address at which nobody listens
    names = TopicNames(prefix="p", schema="app", dead_letters="d")
    broker = Broker(KafkaSettings(bootstrap_servers="127.0.0.1:1"), names, timeout_s=1)
    # when it is asked, then the error names it, and says why there is no connection
    with pytest.raises(KafkaUnavailable, match=r"^Kafka at 127.0.0.1:1: .*Connection refused"):
        broker.partitions(["p.app.scores"])
