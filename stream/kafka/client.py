"""Kafka, by librdkafka (confluent-kafka): client options, consumers, producers.

Enters: settings. Leaves: clients that are ready to use. Never decides what a message means.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from stream.errors import KafkaUnavailable
from stream.sections import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, str | int]:
    """librdkafka's options for the brokers' addresses and this client's credentials. Every client starts from these."""
    options: dict[str, str | int] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "scorestream",
        "log_level": 2,  # the caller reports an unreachable broker, so librdkafka prints no line to stderr
        "security.protocol": settings.security_protocol,
    }
    if settings.security_protocol.startswith("SASL"):
        assert settings.sasl_mechanism is not None
        assert settings.sasl_username is not None
        assert settings.sasl_password is not None  # config.py checked all three
        options["sasl.mechanism"] = settings.sasl_mechanism
        options["sasl.username"] = settings.sasl_username
        options["sasl.password"] = settings.sasl_password.get_secret_value()
    for option, path in (
        ("ssl.ca.location", settings.ssl_ca_location),
        ("ssl.certificate.location", settings.ssl_certificate_location),
        ("ssl.key.location", settings.ssl_key_location),
    ):
        if path is not None:
            options[option] = str(path)
    if settings.ssl_key_password is not None:
        options["ssl.key.password"] = settings.ssl_key_password.get_secret_value()
    return options


def unavailable(settings: KafkaSettings, what: str, error: KafkaException | KafkaError | str) -> KafkaUnavailable:
    """The error of a request that failed: it names the brokers, what was asked, and librdkafka's reason."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    text = cause.str() if isinstance(cause, KafkaError) else str(cause)
    return KafkaUnavailable(f"Kafka at {settings.bootstrap_servers}: {what}: {text}")


MESSAGE_MAX_BYTES = 32 << 20  # largest message that is read or kept: an update carries a comment of some MB twice


def arrived(consumer: Consumer, at_most: int, *, timeout_s: float) -> list[Message]:
    """The messages and events that have arrived. It waits for the first one only; [] when none arrives in time.

    `consume` with a timeout waits until the time is over, unless the full number of messages arrives.
    """
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(at_most - 1, 0)]
