"""Reindex chosen scorecards as Postgres has them now: verify --repair, reindex and purge use it.

    version to write at -> Pipeline.reindex -> confirm (places again, until nothing moved) -> rows of the future

Which version. It must win over the rows that stand, and lose against every change that the snapshot does not hold. The
WAL's present LSN would be too high. Debezium's order names a transaction by the commit *before* it, so the next
transaction after the snapshot may carry a lower one.

The highest version that ClickHouse holds is right. Its change was processed, so it was committed before the snapshot.
Every transaction that the snapshot lacks committed after it, with a first LSN at least as great as that commit. In an
empty ClickHouse the version is 0, and every row of the live worker wins.

Rows of the future. A row altered by hand may have a version that no change can have yet (above the WAL's present LSN).
It would win over the reindex. So that row alone is written again at its own version: of equal ones the later insert is
shown. It goes on winning over real changes, until their versions pass it or its copies are deleted in ClickHouse.
Verify finds that again each time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from stream import metrics
from stream.clickhouse.sharding import layout_of
from stream.clickhouse.shards import Shards
from stream.clickhouse.target import ClickHouseTarget
from stream.clickhouse.versions import highest, highest_of
from stream.epochs import Epochs
from stream.pipeline.ledger import Counts
from stream.pipeline.ordering import EPOCH_SHIFT, LSN_BITS, LSN_MAX
from stream.pipeline.pieces import ROWS_AT_ONCE, pieces, pieces_for
from stream.pipeline.placement import Place
from stream.pipeline.reindex import plan_reindex
from stream.pipeline.reindexer import CHUNK
from stream.pipeline.settle import Settler
from stream.pipeline.stored import Key, Standing
from stream.pipeline.values import uuid_int
from stream.pipeline.writes import Writes
from stream.postgres.connection import LSN_NOW, Postgres
from stream.postgres.defining_query import SourceSql, as_stored, source_of
from stream.postgres.places import PostgresSource
from stream.retry import Retrier
from stream.settings_sections import RetrySettings
from stream.tables import TARGETS

log = logging.getLogger(__name__)

_CONFIRM_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Reindexed:
    """The result for some scorecards. Rows that ClickHouse cannot hold are left out, and logged."""

    places: Mapping[str, Place]
    moved: int  # scorecards whose place changed meanwhile; they were reindexed again
    future: int  # rows that had a version of the future


class ReindexNow:
    """Reindexes between two stores, which the caller opened and closes. `with`-able, for one thread.

    Args:
        shards: with the database to write to.
        retry: waits between the tries of a step.
        epochs: give the epoch of a version that is made now.
    """

    def __init__(self, postgres: Postgres, shards: Shards, *, retry: RetrySettings, epochs: Epochs) -> None:
        self._postgres = postgres
        self._source = PostgresSource(postgres)
        self._shards = shards
        self._target = ClickHouseTarget(shards)
        self._epochs = epochs
        self._retry = Retrier(
            retry,
            stopping=threading.Event(),
            on_retry=lambda error: metrics.RETRIES.labels("reindex", type(error).__name__).inc(),
        )
        self._layout = layout_of(shards)
        self._settler = Settler(source=self._source, target=self._target, layout=self._layout, retry=self._retry)
        self._schema: SourceSql | None = None
        self._floor: int | None = None

    @property
    def database(self) -> str:
        """ClickHouse database that is written to."""
        return self._shards.database

    def __call__(self, ids: Sequence[str], customers: Iterable[str]) -> Reindexed:
        """Reindex scorecards, in chunks.

        Args:
            ids: canonical UUIDs.
            customers: customers under which rows may stand, besides the one that Postgres names.
        """
        places: dict[str, Place] = {}
        moved = future = 0
        for start in range(0, len(ids), CHUNK):
            done = self._chunk(ids[start : start + CHUNK], set(customers))
            places |= done.places
            moved += done.moved
            future += done.future
        return Reindexed(places, moved, future)

    def _chunk(self, ids: Sequence[str], customers: set[str]) -> Reindexed:
        asked = ids
        ids = self._retry(lambda: self._spelled(asked))
        by_int = {uuid_int(scorecard_id): scorecard_id for scorecard_id in ids}
        before = self._retry(lambda: self._source.places(ids))
        under = customers | {place.customer_id for place in before.values()}
        now = self._retry(self._version_now)
        held = self._retry(lambda: self._held(ids, under, now))
        future = self._retry(lambda: self._future(ids, under, now))
        floor = self._version_floor(now)
        versions = {i: max(floor, held.get(number, 0)) for number, i in by_int.items()}
        counts = Counts()
        places = self._settler.reindex(versions, under, counts)
        if not self._settler.confirm(places, versions, under, counts, rounds=_CONFIRM_ROUNDS):
            log.warning("places did not come to rest", extra={"scorecards": len(versions)})
        moved = counts.moved
        if future:
            self._rewrite(future, under, by_int)
        return Reindexed({i: places[spelled] for i, spelled in zip(asked, ids, strict=True)}, moved, len(future))

    def _rewrite(self, future: dict[Key, int], customers: set[str], by_int: Mapping[int, str]) -> None:
        """Write rows of the future again, each at its own version.

        A marker takes the place of a row that must not stand.
        """
        under = sorted(customers)
        for version in sorted(set(future.values())):
            keys = {key for key, held in future.items() if held == version}
            ids = sorted({by_int[key.scorecard_id] for key in keys})
            log.warning("rows have a version of the future", extra={"version": version, "rows": len(keys)})
            rows = sum(self._retry(partial(self._source.sizes, ids)).values())
            rows += sum(place.rows for place in self._retry(partial(self._target.standing_places, ids, under)))
            for piece in [None] if rows <= ROWS_AT_ONCE else pieces(pieces_for(rows, ROWS_AT_ONCE)):
                snapshot = self._retry(partial(self._source.snapshot, ids, piece=piece))
                shown = self._retry(partial(self._target.standing, ids, under, piece=piece))
                plan = plan_reindex(dict.fromkeys(ids, version), snapshot, shown, self._layout)
                for writes in (only(plan.markers, keys), only(plan.rows, keys)):
                    if writes:
                        self._retry(partial(self._target.write, writes))

    def standing(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[Standing]:
        """The rows that any shard shows of these scorecards; customers None: under any customer."""
        return self._retry(lambda: self._target.standing(ids, customers))

    def _spelled(self, ids: Sequence[str]) -> list[str]:
        with self._postgres.asking() as connection:
            if self._schema is None:
                self._schema = source_of(connection, self._postgres.schema)
            return as_stored(connection, self._schema, ids)

    def _version_now(self) -> int:
        """The highest version that a committed change can have."""
        with self._postgres.asking() as connection:
            row = connection.execute(LSN_NOW).fetchone()
        lsn = int(row[0]) if row is not None else 0
        return self._epochs.present() << EPOCH_SHIFT | lsn << LSN_BITS | LSN_MAX

    def _version_floor(self, now: int) -> int:
        """The highest version that ClickHouse holds, read once. Versions above `now` were made by hand."""
        if self._floor is None:
            self._floor = self._retry(lambda: self._highest(now))
        return max(self._epochs.present() << EPOCH_SHIFT, self._floor)

    def _highest(self, now: int) -> int:
        """The highest version of all rows, up to `now`; 0 without rows."""
        found = [0]
        for table in TARGETS:
            query = f"SELECT max(_version) FROM {{database}}.{table.target} WHERE _version <= toUInt128('{now}')"
            found += [int(version) for _, version in self._shards.everywhere(query)]
        return max(found)

    def _held(self, ids: Sequence[str], customers: set[str], now: int) -> dict[int, int]:
        """The highest version of each scorecard up to `now`, delete markers included."""
        return highest_of(self._shards, ids, sorted(customers), most=now)

    def _future(self, ids: Sequence[str], customers: set[str], now: int) -> dict[Key, int]:
        """The version of each sort key on each shard that is above `now`, delete markers included."""
        found = highest(self._shards, ids, sorted(customers), above=now)
        return {key: version for key, (version, _) in found.items()}

    def close(self) -> None:
        self._target.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def only(writes: Writes, keys: set[Key]) -> Writes:
    """The part of these writes that has one of these keys."""
    kept = Writes()
    for shard, table, columns in writes:
        names = table.insert_columns
        customers, scorecards, times = (columns[names.index(n)] for n in ("customer_id", "scorecard_id", "event_time"))
        rows = columns[names.index(table.id)]
        chosen = [
            at
            for at in range(len(rows))
            if Key(shard, table.target, customers[at], scorecards[at], rows[at], times[at]) in keys
        ]
        kept.add(table, shard, [[column[at] for at in chosen] for column in columns])
    return kept
