"""Builds a pipeline and its clients from the settings. The entry points share it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from stream import metrics
from stream.clickhouse.sharding import layout_of
from stream.clickhouse.shards import Shards
from stream.clickhouse.target import ClickHouseTarget
from stream.config import Settings
from stream.connect import connector
from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.dead_letters import DeadLetterProducer
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.late import Newest
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.placement import Place
from stream.pipeline.ports import Retrying
from stream.pipeline.settle import Settler
from stream.postgres.connection import Postgres
from stream.postgres.places import PostgresSource
from stream.retry import Retrier
from stream.stores import Stores
from stream.tables import SIGNAL


def broker(settings: Settings, *, timeout_s: float = 5) -> Broker:
    """The brokers of the settings, with the names of the topics; nothing is opened yet."""
    return Broker(settings.kafka, settings.topics, timeout_s=timeout_s)


@contextmanager
def open_stores(
    settings: Settings, *, database: str | None = None, patient: bool = False, statement_timeout_s: float | None = None
) -> Iterator[Stores]:
    """All stores; each opens its connections when it is first asked, and is closed at the end.

    Args:
        database: another than the settings' ClickHouse database.
        patient: for passes over whole tables: a call to a shard may take half an hour.
        statement_timeout_s: limit of one statement in Postgres; 0 = none; default: the settings' limit.
    """
    with (
        Postgres(settings.postgres, statement_timeout_s=statement_timeout_s) as postgres,
        Shards(settings.clickhouse, database=database, patient=patient) as shards,
        broker(settings) as kafka,
    ):
        yield Stores(postgres, shards, kafka, settings.epochs)


def connector_config(settings: Settings) -> dict[str, str]:
    """The connector's config; raises as stream/connect/connector.py."""
    return connector.config(settings.kafka, settings.postgres, settings.topics, path=settings.connect.config)


def signals_postgres(settings: Settings) -> Postgres:
    """Postgres as the role that may write signals to Debezium.

    Raises:
        UsageError: the settings name no such role.
    """
    backfill, variable = settings.backfill, "SCORESTREAM_BACKFILL_DSN"
    if backfill.dsn is None:
        raise UsageError(
            f"{variable} is not set: a backfill writes signals, which the read-only role of SCORESTREAM_POSTGRES_DSN "
            f"may not; name a role with INSERT on {settings.postgres.source_schema}.{SIGNAL} (scorestream_cdc has it), "
            "and its SCORESTREAM_BACKFILL_PASSWORD"
        )
    own = settings.postgres.model_copy(update={"dsn": backfill.dsn, "password": backfill.password})
    return Postgres(own, writes=True, variable=variable)


def clients_of_replay(settings: Settings) -> Callable[[threading.Event, str | None], Clients]:
    """Opens the clients of one thread of a replay, by the event that ends retries and the database (None: live)."""

    def opened(stopping: threading.Event, database: str | None) -> Clients:
        return Clients(settings, mode="replay", stopping=stopping, database=database)

    return opened


class Clients:
    """A Postgres connection, clients of all shards, a producer: for one thread.

    Args:
        mode: live or replay, the label of its metrics.
        database: another than the settings' ClickHouse database (a shadow).
        target: the writer to the shards, when several threads share it; its maker closes it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        mode: str,
        stopping: threading.Event,
        database: str | None = None,
        target: ClickHouseTarget | None = None,
    ) -> None:
        self._epochs = settings.epochs
        self._shards = Shards(settings.clickhouse, database=database)  # opens nothing by itself
        self._shares_target = target is not None
        self.source = PostgresSource(Postgres(settings.postgres))
        self.target = target or ClickHouseTarget(self._shards)
        self.dead_letters = DeadLetterProducer(broker(settings))
        self.retry = Retrier(
            settings.retry,
            stopping=stopping,
            on_retry=lambda error: metrics.RETRIES.labels(mode, type(error).__name__).inc(),
        )

    def settler(self, *, retry: Retrying | None = None) -> Settler:
        """Reindexes over these clients."""
        layout = layout_of(self._shards)
        return Settler(source=self.source, target=self.target, layout=layout, retry=retry or self.retry)

    def pipeline(
        self,
        table: str,
        *,
        keep: Callable[[Place], bool] | None = None,
        retry: Retrying | None = None,
        in_order: bool = False,
        guard: DeadLetterGuard | None = None,
        newest: Newest | None = None,
        letters: bool = True,
    ) -> Pipeline:
        """A pipeline for one source table over these clients."""
        return Pipeline(
            table,
            source=self.source,
            target=self.target,
            dead_letters=self.dead_letters,
            layout=layout_of(self._shards),
            epochs=self._epochs,
            retry=retry or self.retry,
            keep=keep,
            in_order=in_order,
            guard=guard,
            newest=newest,
            letters=letters,
        )

    def close(self) -> None:
        self.source.close()
        if not self._shares_target:
            self.target.close()
            self._shards.close()
        self.dead_letters.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
