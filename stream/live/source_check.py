"""Does Postgres go on where the rows in ClickHouse left off? Asked before a worker starts, and again while it runs.

A version is an epoch and LSNs. A cluster may have lower LSNs: after a restore, a logical migration, or the promotion of
a standby without the last transactions. Its changes lose against the rows that stand, without a message. So each worker
writes down which cluster it reads and how far that was, and compares before it goes on.

    shards: source --> refuse(..) <-- Postgres: identifier, timeline, LSN
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from stream.clickhouse.source_record import SourceRecord, Stored
from stream.epochs import Epochs
from stream.errors import ConfigError, PostgresRefused
from stream.pipeline.ordering import epoch_of, lsn_text, reached_lsn
from stream.postgres.cluster import Cluster, cluster
from stream.postgres.connection import Postgres

log = logging.getLogger(__name__)

_WAY_OUT = (
    "Add the time from which changes come from this cluster to SCORESTREAM_VERSION_EPOCH_STARTS, for every process, "
    "and run `scorestream verify --repair` (docs/guides/upgrade.md, Postgres moves to another cluster)"
)


class SourceCheck:
    """Compares and writes down. Raises the stores' errors beside those of `refuse`.

    Args:
        epochs: one may begin while the worker runs.
    """

    def __init__(self, record: SourceRecord, postgres: Postgres, *, epochs: Epochs) -> None:
        self._record = record
        self._postgres = postgres
        self._epochs = epochs
        self._highest: tuple[object, int] | None = None

    def __call__(self) -> None:
        """One look.

        Raises:
            ConfigError, PostgresRefused: changes of this cluster would lose against the rows that stand.
        """
        stored = self._record.read()  # before Postgres is asked: another worker may write a later LSN meanwhile
        epoch = self._epochs.present()  # after the look at what is stored, for the same reason
        with self._postgres.asking() as connection:
            now = cluster(connection)
        refuse(now, stored, epoch=epoch, highest=partial(self._highest_once, (epoch, now.identifier, now.timeline)))
        if not now.is_standby:
            self._record.write(Stored(epoch, now.identifier or 0, now.timeline or 0, now.lsn))

    def _highest_once(self, of: object) -> int:
        """The highest version in ClickHouse, read once for each cluster, timeline and epoch.

        Without a record, as on a standby, each look asks for it. What was written since comes from this cluster.
        """
        if self._highest is None or self._highest[0] != of:
            self._highest = of, self._record.highest()
        return self._highest[1]


def refuse(now: Cluster, stored: Sequence[Stored], *, epoch: int, highest: Callable[[], int]) -> None:
    """Refuse a cluster whose changes would lose.

    Args:
        stored: what workers have written down.
        epoch: of the changes that are committed now.
        highest: asks for the highest version in ClickHouse. It reads whole columns; called only when no worker has
            stored a position of this epoch, or after a fail over.

    Raises:
        ConfigError: another cluster, or a higher epoch in ClickHouse; with the way out.
        PostgresRefused: Postgres' WAL is not as far; with the way out.
    """
    if above := [each.epoch for each in stored if each.epoch > epoch]:
        _refuse_epoch(epoch, max(above))
    same = [each for each in stored if each.epoch == epoch]
    if not same:
        _refuse_versions(now, epoch, highest())
        return
    newest = max(same, key=lambda each: (each.timeline, each.lsn))
    if now.identifier is not None and newest.identifier not in (0, now.identifier):
        raise ConfigError(
            f"Postgres is another cluster than the one that the rows in ClickHouse come from (system identifier "
            f"{now.identifier}, not {newest.identifier}), and its changes would lose against them. {_WAY_OUT}"
        )
    if not now.is_standby and now.lsn < max(each.lsn for each in same):
        _refuse_lsn(now, max(each.lsn for each in same))
    if now.timeline is not None and newest.timeline and now.timeline != newest.timeline:
        _refuse_versions(now, epoch, highest())
        log.warning(
            "Postgres failed over",
            extra={
                "timeline": now.timeline,
                "before": newest.timeline,
                "way_out": "`scorestream verify --repair` finds changes that the promoted server had not received",
            },
        )


def _refuse_versions(now: Cluster, epoch: int, highest: int) -> None:
    if epoch_of(highest) > epoch:
        _refuse_epoch(epoch, epoch_of(highest))
    if epoch_of(highest) == epoch and not now.is_standby and reached_lsn(highest) > now.lsn:
        _refuse_lsn(now, reached_lsn(highest))


def _refuse_epoch(epoch: int, above: int) -> None:
    raise ConfigError(
        f"rows in ClickHouse have versions of epoch {above}, but the settings make the present epoch {epoch}: all new "
        "changes would lose. Give SCORESTREAM_VERSION_EPOCH and SCORESTREAM_VERSION_EPOCH_STARTS as the other "
        "processes have them"
    )


def _refuse_lsn(now: Cluster, stored: int) -> None:
    # No ConfigError: once `scorestream recover` has passed the LSN, a supervisor's next start succeeds.
    raise PostgresRefused(
        f"Postgres' WAL is at {lsn_text(now.lsn)}, before {lsn_text(stored)}, which is in ClickHouse already: it is a "
        "restored copy, or a server that was promoted without the last transactions, and its changes would lose. "
        "Run `scorestream recover`: it brings the WAL past that, or names the time to add to "
        "SCORESTREAM_VERSION_EPOCH_STARTS (docs/guides/recover.md)"
    )
