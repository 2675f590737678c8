"""The stores of one call or one process, opened together at the edge and handed down."""

from __future__ import annotations

from dataclasses import dataclass

from stream.clickhouse.shards import Shards
from stream.epochs import Epochs
from stream.kafka.broker import Broker
from stream.postgres.connection import Postgres


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of the whole path. The caller that opens them closes them; the rooms below do not.

    Attributes:
        shards: with the database that is written or compared.
        epochs: the epoch of each change, by its commit time.
    """

    postgres: Postgres
    shards: Shards
    broker: Broker
    epochs: Epochs
