"""Whose answer a command gives, and the check that it is the installation's which was chosen.

Enters: settings, and what Kafka, Postgres and the shards say of themselves. Leaves: a name for the screen, or a
ConfigError that names what differs. Installations have default names in common: an answer of the wrong one looks right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stream.clickhouse.source_record import SourceRecord
from stream.config import Settings
from stream.errors import ConfigError
from stream.installations import Installation
from stream.kafka.broker import Broker
from stream.postgres.cluster import cluster
from stream.postgres.connection import Postgres
from stream.stores import Stores


class Identity(NamedTuple):
    """An installation: its name, the id of its Kafka cluster, its database and schema, its ClickHouse database."""

    name: str
    cluster: str | None
    source: str
    clickhouse: str

    def as_json(self) -> dict[str, Any]:
        return self._asdict()

    @property
    def line(self) -> str:
        kafka = f"Kafka cluster {self.cluster}, " if self.cluster else ""
        return f"installation {self.name}: {kafka}source {self.source}, ClickHouse database {self.clickhouse}"


def identity_of(settings: Settings, cluster_id: str | None, *, database: str | None = None) -> Identity:
    """The installation of these settings.

    Args:
        cluster_id: of the brokers; None where they are not asked.
        database: another than the settings' ClickHouse database.
    """
    postgres = settings.postgres
    source = f"{Postgres(postgres).database}.{postgres.source_schema}"
    return Identity(settings.name, cluster_id, source, database or settings.clickhouse.database)


def check_cluster(broker: Broker, installation: Installation) -> None:
    """Compare the brokers with the file.

    Raises:
        ConfigError: they are another cluster.
        KafkaUnavailable: they do not answer.
    """
    if installation.cluster is None:
        return
    found = broker.cluster_id()
    if found != installation.cluster:
        raise ConfigError(
            f"installation {installation.name}: Kafka at {broker.settings.bootstrap_servers} is cluster {found}, not "
            f"{installation.cluster}; correct bootstrap_servers or cluster in the installations file"
        )


def check_source(stores: Stores, name: str) -> None:
    """Compare Postgres with the cluster that the rows in ClickHouse come from. Where either is not known, nothing is.

    Raises:
        ConfigError: they are two clusters, so that one of both belongs to another installation.
        The stores' errors, when one does not answer.
    """
    epoch = stores.epochs.present()
    stored = {each.identifier for each in SourceRecord(stores.shards).read() if each.epoch == epoch} - {0}
    if not stored:
        return
    with stores.postgres.asking() as connection:
        own = cluster(connection).identifier
    if own is not None and own not in stored:
        raise ConfigError(
            f"installation {name}: the rows in ClickHouse database {stores.shards.database} come from Postgres cluster "
            f"{', '.join(map(str, sorted(stored)))}, and the DSN leads to cluster {own}; correct dsn or shards in the "
            "installations file"
        )
