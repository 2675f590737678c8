"""Builds a pipeline and its clients from the settings. The entry points share it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from stream import metrics
from stream.clickhouse.shards import Shards
from stream.clickhouse.target import ClickHouseTarget
from stream.config import Settings
from stream.kafka.broker import Broker
from stream.kafka.dead_letters import DeadLetterProducer
from stream.pipeline.dead_letter import DeadLetterGuard
from stream.pipeline.pipeline import Pipeline
from stream.pipeline.placement import Place
from stream.pipeline.ports import Retrying
from stream.postgres.connection import Postgres
from stream.postgres.places import PostgresSource
from stream.retry import Retrier


def broker(settings: Settings, *, timeout_s: float = 5) -> Broker:
    """The brokers of the settings, with the names of the topics; nothing is opened yet."""
    return Broker(settings.kafka, settings.topics, timeout_s=timeout_s)


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
            settings.retry, stopping=stopping, on_retry=lambda error: metrics.RETRIES.labels(mode, error).inc()
        )

    def pipeline(
        self,
        table: str,
        *,
        keep: Callable[[Place], bool] | None = None,
        retry: Retrying | None = None,
        in_order: bool = False,
        guard: DeadLetterGuard | None = None,
    ) -> Pipeline:
        """A pipeline for one source table over these clients."""
        return Pipeline(
            table,
            source=self.source,
            target=self.target,
            dead_letters=self.dead_letters,
            layout=self._shards.layout,
            epochs=self._epochs,
            retry=retry or self.retry,
            keep=keep,
            in_order=in_order,
            guard=guard,
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
