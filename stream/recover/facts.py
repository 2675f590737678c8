"""What a recovery knows: one look at Postgres, Connect, Kafka and ClickHouse. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from stream.clickhouse.source_record import Stored
from stream.postgres.replication import PostgresServer, Slot


@dataclass(frozen=True, slots=True)
class Position:
    """How far the connector has read, as Connect stores it.

    Attributes:
        lsn: the highest LSN in the offset.
        at_ms: commit time of its last change, Unix milliseconds; None: unknown.
        snapshot: an initial snapshot is under way.
    """

    lsn: int
    at_ms: int | None = None
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """The state of the path from Postgres to Kafka.

    Attributes:
        unpublished: tables that the publication leaves out; None: there is no publication.
        connector: Connect's word for its state, FAILED when a task has failed; None: there is no connector.
        failures: causes, one line each.
        drifted: config keys whose values are not those of the settings.
        missing_topics: topics that are not there.
        empty_topics: topics of rows without a message.
        highest: the highest version in ClickHouse; 0: it has no rows.
        stored: how far clusters were when a worker last looked.
        epoch: of the changes that Postgres commits now.
        workers: members of the live group.
    """

    server: PostgresServer
    slot: Slot | None
    unpublished: tuple[str, ...] | None
    connector: str | None
    failures: tuple[str, ...]
    drifted: tuple[str, ...]
    position: Position | None
    missing_topics: tuple[str, ...]
    empty_topics: tuple[str, ...]
    highest: int
    stored: tuple[Stored, ...]
    epoch: int
    workers: int
