"""The stores of one call or one process, opened together at the edge and handed down."""

from __future__ import annotations

from dataclasses import dataclass

from stream.clickhouse.shards import Shards
from stream.epochs import Epochs
from stream.kafka.broker import Broker
from stream.postgres.connection import Postgres


@dataclass(frozen=True, slots=True)
class Stores:
    """All systems that rows pass through. Whoever opens them closes them; nobody below does.

    Attributes:
        shards: with the database that is written or compared.
        epochs: by them a change's commit time says the epoch of its version.
    """

    postgres: Postgres
    shards: Shards
    broker: Broker
    epochs: Epochs
