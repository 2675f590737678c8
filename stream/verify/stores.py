"""The stores that a comparison asks. Commands open and close them."""

from __future__ import annotations

from dataclasses import dataclass

from stream.clickhouse.shards import Shards
from stream.epochs import Epochs
from stream.kafka.broker import Broker
from stream.postgres.connection import Postgres


@dataclass(frozen=True, slots=True)
class Stores:
    """Both sides of a comparison, and the log between them.

    Attributes:
        shards: patient ones, with the database that is compared.
        broker: None: nobody asks Kafka, neither for lag nor for dead letters.
        epochs: by them a change's commit time says the epoch of its version.
    """

    postgres: Postgres
    shards: Shards
    broker: Broker | None
    epochs: Epochs
