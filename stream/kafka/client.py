"""Kafka, by librdkafka (confluent-kafka): client options, consumers, producers.

Enters: settings. Leaves: clients that are ready to use. Never decides what a message means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from stream.config import KafkaSettings
from stream.errors import KafkaUnavailable
from stream.pipeline.dead_letter import DeadLetter


def client_options(settings: KafkaSettings) -> dict[str, str | int]:
    """librdkafka's options for where the brokers are and how to prove who we are; every client starts from these."""
    options: dict[str, str | int] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "scorestream",
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


MESSAGE_MAX_BYTES = 32 << 20  # largest message that is read or kept: a comment of some MB stands twice in an update


def arrived(consumer: Consumer, at_most: int, *, timeout_s: float) -> list[Message]:
    """What has come: waits for the first message or event only. [] when nothing has within the time.

    `consume` with a time waits until that has passed, unless there are as many as asked for.
    """
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(at_most - 1, 0)]


class DeadLetterProducer:
    """Produces dead letters and waits until the broker has them."""

    def __init__(self, settings: KafkaSettings, topic: str, *, timeout_s: float = 30) -> None:
        self._topic = topic
        self._timeout_s = timeout_s
        self._producer = Producer(
            client_options(settings)
            | {
                "enable.idempotence": True,
                "compression.type": "lz4",
                "message.max.bytes": MESSAGE_MAX_BYTES,
                "delivery.timeout.ms": int(timeout_s * 1000),
            }
        )

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when the broker has acknowledged all of them.

        Raises:
            KafkaUnavailable: it has not, in time; sending again may leave duplicates, never a gap.
        """
        failed: list[str] = []

        def delivered(error: KafkaError | None, _message: object) -> None:
            if error is not None:
                failed.append(error.str())

        for letter in letters:
            self._produce(letter, delivered)
        left = self._producer.flush(self._timeout_s)
        if left or failed:
            cause = failed[0] if failed else f"{left} not acknowledged within {self._timeout_s:.0f} s"
            raise KafkaUnavailable(f"dead letters to {self._topic}: {cause}")

    def _produce(self, letter: DeadLetter, delivered: Callable[[KafkaError | None, object], None]) -> None:
        message = letter.message
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=message.key,
                    value=message.value,
                    headers=list(letter.headers),
                    on_delivery=delivered,
                )
            except BufferError:  # the queue is full: let it drain
                self._producer.poll(0.1)
            except KafkaException as error:
                raise KafkaUnavailable(f"dead letters to {self._topic}: {error}") from error
            else:
                return

    def close(self) -> None:
        """Nothing is left to send: `send` waits."""
        self._producer.flush(self._timeout_s)
