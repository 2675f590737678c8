"""ClickHouse over HTTP (clickhouse-connect): one client for each shard.

Enters: rows column by column, already split by shard. Leaves: nothing until all shards have acknowledged all rows.
Never decides which shard a row belongs to.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from stream.clickhouse.group_commit import Together
from stream.clickhouse.quorum_turn import in_turn
from stream.clickhouse.read_back import unreadable
from stream.clickhouse.schema.look import TableLook
from stream.clickhouse.shards import Shards
from stream.errors import ClickHouseUnavailable, WriteMismatch
from stream.pipeline.pieces import Piece
from stream.pipeline.stored import Key, Standing, StandingPlace
from stream.pipeline.values import uuid_int
from stream.pipeline.writes import Writes
from stream.tables import TARGETS, Table

log = logging.getLogger(__name__)
T = TypeVar("T")

INSERT_SETTINGS = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    # The blocks are sorted columns already, so a second thread would only cost its wake-up.
    "max_threads": 1,
    # A batch of a catch-up, a backfill or a replay has rows of all months. The server's limit is 100 months.
    "max_partitions_per_insert_block": 0,
}
_Columns = list[list[Any]]  # as in Writes


class _Asked(NamedTuple):
    """What one caller asks of `standing`."""

    ids: Collection[str]
    customers: Collection[str] | None
    piece: Piece | None
    most: int | None


class ClickHouseTarget:
    """Writes to all shards at once.

    Several threads may share it. Inserts into one table of one shard run one after another, and waiting inserts are
    joined into one. The same holds for look-ups on a shard. A part costs ClickHouse the same for ten rows as for a
    thousand.

    Args:
        shards: the caller opened them and closes them.
        callers: number of threads that share it.
    """

    def __init__(self, shards: Shards, *, callers: int = 1) -> None:
        self._shards = shards
        self._said_no_summary = False
        self._look = TableLook(shards)
        self._to_read_back: set[tuple[int, str]] = set()  # (shard, table) whose next insert is read again
        self._inserts: dict[tuple[int, str], Together[_Columns, None]] = {
            (shard, table.target): Together(partial(self._insert, shard, table))
            for shard in range(shards.count)
            for table in TARGETS
        }
        self._looks = [Together(partial(self._look_up, shard)) for shard in range(shards.count)]
        jobs = shards.count * len(TARGETS) * callers
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="shard")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    def write(self, writes: Writes) -> None:
        """Insert on all shards; returns when every shard has acknowledged every row.

        Raises:
            ClickHouseUnavailable: a shard did not answer. Some rows may be stored, and writing them again does no harm.
            ClickHouseRefused: a shard refused for good.
            WriteMismatch: a shard stored only some of the rows.
        """
        self._all([partial(self._inserts[shard, table.target], columns) for shard, table, columns in writes])

    def connect(self, table: Table) -> None:
        """Open the clients for inserts into a table, so that the first insert does not wait for them.

        Raises:
            ClickHouseUnavailable: a shard does not answer.
            ClickHouseRefused: a shard answers and refuses.
        """
        self._all([partial(self._inserts[shard, table.target], []) for shard in range(self._shards.count)])

    def standing(
        self,
        ids: Sequence[str],
        customers: Sequence[str] | None,
        *,
        piece: Piece | None = None,
        most: int | None = None,
    ) -> list[Standing]:
        """The rows of these scorecards that are visible on any shard, in any ClickHouse partition.

        Args:
            ids: scorecard ids.
            customers: customers under which their rows may stand, because the sort key starts with the customer. None:
                any.
            piece: only the rows of this piece.
            most: most rows of each shard.
        """
        if not ids or (customers is not None and not customers):
            return []
        found = self._all([partial(look, _Asked(ids, customers, piece, most)) for look in self._looks])
        return [row for rows in found for row in rows]

    def standing_places(self, ids: Sequence[str], customers: Sequence[str] | None) -> list[StandingPlace]:
        """Where `standing` would find rows, and how many: the server counts them. Arguments as there."""
        if not ids or (customers is not None and not customers):
            return []
        asked = _Asked(ids, customers, None, None)
        found = self._all([partial(self._places_on, shard, asked) for shard in range(self._shards.count)])
        return [place for places in found for place in places]

    def written(self, versions: Collection[int]) -> list[tuple[str, str, int]]:
        """(scorecard id, customer id, version) of the rows of both tables that have one of these versions.

        It reads the whole column of versions: no index has it.
        """
        if not versions:
            return []
        found = self._all([partial(self._written_on, shard, versions) for shard in range(self._shards.count)])
        return sorted({row for rows in found for row in rows})

    def _written_on(self, shard: int, versions: Collection[int]) -> list[tuple[str, str, int]]:
        # As text: a literal beyond 64 bits is a floating point number to ClickHouse.
        query = " UNION ALL ".join(
            f"SELECT DISTINCT toString(scorecard_id), toString(customer_id), _version "
            f"FROM {self._shards.database}.{table.target} WHERE NOT _deleted "
            "AND _version IN (SELECT toUInt128(arrayJoin(%(versions)s)))"
            for table in TARGETS
        )
        self._look_at(shard)
        found = self._shards.ask(shard, query, {"versions": [str(version) for version in versions]})
        return [(scorecard_id, customer_id, version) for scorecard_id, customer_id, version in found]

    def _look_up(self, shard: int, asked: Sequence[_Asked]) -> list[list[Standing]]:
        self._look_at(shard)
        limits = [each.most for each in asked if each.most is not None]
        most = max(limits) if len(limits) == len(asked) else None
        if len(asked) == 1 or any(each.piece for each in asked):
            return [self._standing_on(shard, each) for each in asked]
        every = {scorecard_id for each in asked for scorecard_id in each.ids}
        under = None
        if all(each.customers is not None for each in asked):
            under = {customer for each in asked for customer in each.customers or ()}
        rows = self._standing_on(shard, _Asked(every, under, None, most))
        if len(rows) == most:  # some callers may lack rows of theirs
            return [self._standing_on(shard, each) for each in asked]
        # A row under a customer of another caller does no harm: it is a row of that scorecard all the same.
        wanted = [{uuid_int(scorecard_id) for scorecard_id in each.ids} for each in asked]
        return [[row for row in rows if row.key.scorecard_id in own] for own in wanted]

    def _standing_on(self, shard: int, asked: _Asked) -> list[Standing]:
        query = self._standing_query(asked)
        if asked.most is not None:
            query = f"SELECT * FROM ({query}) LIMIT {asked.most}"
        return [
            Standing(Key(shard, target, customer_id, scorecard_id.int, own_id.int, time_us), version)
            for target, customer_id, scorecard_id, own_id, time_us, version in self._ask(shard, query, asked)
        ]

    def _places_on(self, shard: int, asked: _Asked) -> list[StandingPlace]:
        self._look_at(shard)
        query = (
            "SELECT scorecard_id, customer, time_us, max(version), count() "
            f"FROM ({self._standing_query(asked)}) GROUP BY scorecard_id, customer, time_us"
        )
        return [
            StandingPlace(scorecard_id.int, customer_id, shard, time_us, version, rows)
            for scorecard_id, customer_id, time_us, version, rows in self._ask(shard, query, asked)
        ]

    def _standing_query(self, asked: _Asked) -> str:
        # One query serves both tables, without FINAL: for some thousand rows by key FINAL costs twice as much. Of equal
        # versions ReplacingMergeTree keeps the row inserted last, and this query cannot see which that was. So a row
        # and a delete marker of one version count as a row. Marking it once more does no harm.
        # The ids are one text: ClickHouse takes twice as long for a query of 4,000 literals.
        return " UNION ALL ".join(
            f"SELECT '{table.target}' AS target, toString(customer_id) AS customer, scorecard_id, "
            f"{table.id} AS own_id, toUnixTimestamp64Micro(event_time) AS time_us, max(_version) AS version "
            f"FROM {self._shards.database}.{table.target} "
            f"WHERE {'customer_id IN %(customers)s AND ' if asked.customers is not None else ''}"
            "scorecard_id IN (SELECT toUUID(arrayJoin(splitByChar(',', %(ids)s)))) "
            f"{'' if asked.piece is None else f'AND substring(toString({table.id}), 35) IN %(endings)s '}"
            f"GROUP BY customer_id, scorecard_id, {table.id}, event_time "
            "HAVING argMax(_deleted, (_version, 1 - _deleted)) = 0"
            for table in TARGETS
        )

    def _ask(self, shard: int, query: str, asked: _Asked) -> Sequence[Sequence[Any]]:
        endings = asked.piece.endings if asked.piece else ()
        values = {"customers": tuple(asked.customers or ()), "ids": ",".join(asked.ids), "endings": endings}
        return self._shards.ask(shard, query, values, settings={"max_threads": 1})

    def _insert(self, shard: int, table: Table, several: Sequence[_Columns]) -> list[None]:
        self._look_at(shard)
        parts = [columns for columns in several if columns]
        if not parts:
            self._shards.connect(shard)
            return [None] * len(several)
        columns = list(parts[0])
        if len(parts) > 1:
            columns = [list(chain.from_iterable(same)) for same in zip(*parts, strict=True)]
        rows = len(columns[0])
        began = time.perf_counter()
        try:
            stored = in_turn(partial(self._send, shard, table, columns))
            self._check(shard, table, rows, stored)
            self._read_back(shard, table, columns)
        finally:
            # the client's InsertContext is a cycle, and would hold the columns until the collector runs
            columns.clear()
        if self._shards.settings.log_inserts:
            took_ms = round((time.perf_counter() - began) * 1000, 1)
            log.info("insert", extra={"shard": shard, "table": table.target, "rows": rows, "took_ms": took_ms})
        return [None] * len(several)

    def _send(self, shard: int, table: Table, columns: _Columns) -> str | None:
        """One insert; returns how many rows ClickHouse says that it stored, where it says so."""
        with self._shards.client(shard) as client:
            summary: Mapping[str, str] = client.insert(
                table.target,
                columns,
                database=self._shards.database,
                column_names=table.insert_columns,
                column_type_names=table.insert_types,
                column_oriented=True,
                settings=INSERT_SETTINGS,
            ).summary
        return summary.get("written_rows")

    def _look_at(self, shard: int) -> None:
        """Before each call; it seldom asks."""
        if self._look(shard):
            self._to_read_back |= {(shard, table.target) for table in TARGETS}

    def _read_back(self, shard: int, table: Table, columns: _Columns) -> None:
        if (shard, table.target) not in self._to_read_back:
            return
        if missing := unreadable(self._shards, shard, table, columns):
            # They may be in a table that was exchanged just now; to write them again does no harm.
            name = f"{self._shards.database}.{table.target}"
            raise ClickHouseUnavailable(
                f"{self._shards.where(shard)} acknowledged rows for {name} of which {missing} cannot be read"
            )
        self._to_read_back.discard((shard, table.target))

    def _check(self, shard: int, table: Table, rows: int, stored: str | None) -> None:
        """Compare the number of stored rows that ClickHouse reports with the number sent.

        A higher number is no fault: materialized views on the table add their own rows to it. A proxy may strip the
        header; then the 200 counts, which ClickHouse sends only after the insert.
        """
        where = self._shards.where(shard)
        name = f"{self._shards.database}.{table.target}"
        if stored is None:
            if not self._said_no_summary:
                self._said_no_summary = True
                log.warning("no summary header", extra={"shard": shard, "table": name, "likely": "a proxy strips it"})
            return
        if not int(stored):
            # Seen when the table refuses parts, or changes its name, during the insert: nothing is stored.
            raise ClickHouseUnavailable(f"{where} acknowledged none of {rows} rows for {name}")
        if int(stored) < rows:
            raise WriteMismatch(f"{where}: sent {rows} rows to {name}, it says that it stored {stored}")

    def _all(self, jobs: list[Callable[[], T]]) -> list[T]:
        """Run the jobs at the same time. The first error is raised when all have ended."""
        if len(jobs) == 1:
            return [jobs[0]()]
        futures = [self._threads.submit(job) for job in jobs]
        for future in futures:
            future.exception()
        return [future.result() for future in futures]
