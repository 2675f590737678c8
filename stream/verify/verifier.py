"""Postgres against ClickHouse: cells, then the scorecards of cells that differ, then their rows, each with a reason.

    snapshot of Postgres, its LSN -> its cells -> wait until the pipeline has passed the LSN -> cells of the shards
    differing cells -> scorecards that differ -> rows: missing, extra, stale; or "not comparable yet" when they move

The snapshot stays open. So every later look at Postgres shows the moment that the pipeline has passed. A row that
differs is also compared with Postgres as it is *now*. When it changed since, it is looked at again, a few times.

Leaves: a Verified. It writes nothing; `on_chunk` gets the scorecards to repair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from stream.clickhouse.schema.look import check_tables
from stream.clickhouse.sharding import layout_of
from stream.clickhouse.versions import highest
from stream.pipeline.ordering import EPOCH_SHIFT, LSN_BITS, LSN_MAX
from stream.pipeline.stored import Key
from stream.pipeline.values import uuid_text
from stream.postgres.connection import LSN_NOW, Connection
from stream.postgres.defining_query import SourceSql, source_of
from stream.scope import Scope
from stream.stores import Stores
from stream.verify import cells
from stream.verify.caught_up import CaughtUp
from stream.verify.cells import Suspect
from stream.verify.dead_letter_index import DeadLetterIndex
from stream.verify.findings import RowDifference, compare
from stream.verify.progress import Stages
from stream.verify.row_states import InPostgres, in_postgres, shown
from stream.verify.verified import Verified

CHUNK = 1_000  # scorecards looked at together
LOOKS = 5  # looks at a row that moves, before it counts as not comparable
_LOOK_WAIT_S = 0.3  # before the second look, doubled each time
_FEW_S = 15.0  # limit of the wait for the pipeline at each further look
_MAX_MOVING = 100_000
_READS_ONCE = "SET work_mem = '64MB'; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET jit = off"

OnChunk = Callable[[list[str], set[str]], None]


class Verifier:
    """Compares.

    Args:
        stores: with patient shards.
        wait: wait for the pipeline; without it nobody asks Kafka, and what differs is only looked at again a few times.
        timeout_s: limit of that wait.
        caught_up: waits for another than the live pipeline (a shadow's).
    """

    def __init__(
        self, stores: Stores, *, wait: bool = True, timeout_s: float = 60, caught_up: CaughtUp | None = None
    ) -> None:
        self._postgres = stores.postgres
        self._shards = stores.shards
        self._timeout_s = timeout_s
        self._layout = layout_of(stores.shards)
        self._epoch = stores.epochs.present()
        self._caught_up = caught_up or (CaughtUp(stores.broker, stores.postgres) if wait else None)
        self._letters = DeadLetterIndex(stores.broker if wait else None, epoch=stores.epochs.first)

    def run(
        self, scope: Scope, *, limit: int | None = 1_000, on_chunk: OnChunk | None = None, stages: Stages | None = None
    ) -> Verified:
        """One comparison.

        Args:
            limit: findings that are kept; beyond it differing cells are counted, not opened. None = open them all.
            on_chunk: given the scorecards with findings, up to 1,000 at a time, and the customers they were seen under.

        Raises:
            ConfigError, ClickHouseRefused: the tables are another shard's, or not all their rows can be seen.
        """
        began = time.monotonic()
        check_tables(self._shards)
        result = Verified(scope, self._shards.database)
        stages = stages or Stages(show=False)
        try:
            with (
                self._postgres.session(statement_timeout_s=0) as snapshot,  # a comparison reads everything once
                self._postgres.asking() as present,
            ):
                snapshot.execute(_READS_ONCE)
                source = source_of(snapshot, self._postgres.schema)
                with snapshot.transaction():
                    self._compare(result, snapshot, present, source, limit=limit, on_chunk=on_chunk, stages=stages)
        finally:
            stages.close()
        result.letters_unread = self._letters.unread
        result.seconds = time.monotonic() - began
        return result

    def caught_up(self) -> bool:
        """Wait some seconds for Postgres' present commits; False when the pipeline is not there then."""
        with self._postgres.asking() as connection:
            lsn = _lsn(connection)
        return self._passed(lsn, _FEW_S, None)

    def _compare(
        self,
        result: Verified,
        snapshot: Connection,
        present: Connection,
        source: SourceSql,
        *,
        limit: int | None,
        on_chunk: OnChunk | None,
        stages: Stages,
    ) -> None:
        scope = result.scope
        result.lsn = _lsn(snapshot)
        stages.plan(snapshot, source, scope)
        wanted = cells.postgres_cells(snapshot, source, scope, stages.postgres)
        for cell, content in wanted.items():
            result.rows[cell.table] = result.rows.get(cell.table, 0) + content.rows
        in_time = self._passed(result.lsn, self._timeout_s, stages)
        held = cells.clickhouse_cells(self._shards, scope, stages.clickhouse)
        result.postgres, result.shards = wanted, held
        result.cells = len(wanted.keys() | {cell for shard in held for cell in shard})
        result.different = cells.differing(wanted, held, self._layout)
        if not result.different:
            return
        if not in_time:
            result.lagging = self._caught_up.why if self._caught_up is not None else ""
            return
        found = cells.suspects(
            snapshot,
            source,
            self._shards,
            scope=scope,
            cells=sorted({each.cell for each in result.different}),
        )
        moving: dict[str, set[str]] = {}
        for chunk in _chunks(found, CHUNK):
            stages.opening(result.wrong)
            self._look(chunk, result, snapshot, present, source, moving=moving, limit=limit, on_chunk=on_chunk)
            if limit is not None and result.wrong >= limit:
                result.not_opened = len({each.cell for each in result.different})
                break
        for chunk in _chunks(moving.items(), CHUNK):
            self._look_again(dict(chunk), result, present, source, limit=limit, on_chunk=on_chunk)

    def _look(
        self,
        chunk: list[Suspect],
        result: Verified,
        snapshot: Connection,
        present: Connection,
        source: SourceSql,
        *,
        moving: dict[str, set[str]],
        limit: int | None,
        on_chunk: OnChunk | None,
    ) -> None:
        """Compare scorecards with the snapshot, which the pipeline has passed; set aside those that changed since."""
        ids = {uuid_text(int(each.scorecard_id, 16)): set(each.customers) for each in chunk}
        then = in_postgres(snapshot, source, list(ids))
        findings, versions = self._findings(then, ids, result.scope)
        if not findings:
            return
        differing = sorted({finding.scorecard_id for finding in findings})
        now = in_postgres(present, source, differing)
        recent = self._recent(versions, after=result.lsn, until=_lsn(present))
        changed = {i for i in differing if i in recent or _of(then, i) != _of(now, i)}
        for scorecard_id in changed:
            if len(moving) < _MAX_MOVING:
                moving[scorecard_id] = ids[scorecard_id]
            elif scorecard_id not in moving:
                result.not_looked_at += 1
        self._tell([f for f in findings if f.scorecard_id not in changed], ids, result, limit, on_chunk)

    def _look_again(
        self,
        ids: dict[str, set[str]],
        result: Verified,
        present: Connection,
        source: SourceSql,
        *,
        limit: int | None,
        on_chunk: OnChunk | None,
    ) -> None:
        """Look again at scorecards that move: read Postgres, wait for the pipeline, read ClickHouse, read Postgres
        again.
        """
        for look in range(LOOKS):
            if look:
                time.sleep(_LOOK_WAIT_S * 2 ** (look - 1))
            with present.transaction():
                before = in_postgres(present, source, list(ids))
                lsn = _lsn(present)
            passed = self._passed(lsn, _FEW_S, None)
            findings, versions = self._findings(before, ids, result.scope)
            differing = sorted({finding.scorecard_id for finding in findings})
            if not differing:
                return
            after = in_postgres(present, source, differing)
            recent = self._recent(versions, after=lsn, until=_lsn(present))
            still = {i for i in differing if passed and i not in recent and _of(before, i) == _of(after, i)}
            self._tell([f for f in findings if f.scorecard_id in still], ids, result, limit, on_chunk)
            ids = {i: ids[i] for i in differing if i not in still}
            if not ids:
                return
        result.moving += sorted(ids)

    def _findings(
        self, postgres_has: InPostgres, ids: dict[str, set[str]], scope: Scope
    ) -> tuple[list[RowDifference], dict[Key, int]]:
        """The findings, and the highest version of each sort key of those scorecards."""
        customers = {customer for seen in ids.values() for customer in seen}
        customers |= {card.place.customer_id for card in postgres_has.cards.values()}
        under = sorted(customers)  # an empty one is a customer, too
        there = shown(self._shards, list(ids), under)
        wanted = {table.target for table in scope.targets}
        findings = compare(postgres_has, there, self._layout, highest={}, dead_letters={})
        held = highest(self._shards, sorted({f.scorecard_id for f in findings}), under)
        if any(f.what != "extra" for f in findings):
            letters = self._letters.by_row()
            settled = self._letters.settled(held)
            findings = compare(postgres_has, there, self._layout, highest=held, dead_letters=letters, settled=settled)
        versions = {key: version for key, (version, _) in held.items()}
        return [finding for finding in findings if finding.table in wanted], versions

    def _recent(self, versions: dict[Key, int], *, after: int, until: int) -> set[str]:
        """The scorecards of which ClickHouse holds a change from between these two LSNs.

        Postgres may look the same at both, when a row came and went in between. No change can have a later version than
        `until`: such rows were made by hand, and are findings.
        """
        low, high = (self._epoch << EPOCH_SHIFT | lsn << LSN_BITS | LSN_MAX for lsn in (after, until))
        return {uuid_text(key.scorecard_id) for key, version in versions.items() if low < version <= high}

    def _tell(
        self,
        findings: list[RowDifference],
        ids: dict[str, set[str]],
        result: Verified,
        limit: int | None,
        on_chunk: OnChunk | None,
    ) -> None:
        for finding in findings:
            result.counts[finding.table, finding.what] += 1
        room = max(0, (1_000 if limit is None else limit) - len(result.findings))
        result.findings += findings[:room]
        if findings and on_chunk is not None:
            found = sorted({finding.scorecard_id for finding in findings})
            customers = {customer for i in found for customer in ids[i]}
            on_chunk(found, customers | {finding.customer_id for finding in findings})

    def _passed(self, lsn: int, timeout_s: float, stages: Stages | None) -> bool:
        if self._caught_up is None:
            return True
        on_wait = stages.waiting if stages is not None else (lambda _: None)
        return self._caught_up.wait(lsn, timeout_s=timeout_s, on_wait=on_wait)


def _lsn(connection: Connection) -> int:
    row = connection.execute(LSN_NOW).fetchone()
    return int(row[0]) if row is not None else 0


def _of(states: InPostgres, scorecard_id: str) -> tuple[Any, Any]:
    """Postgres' state of one scorecard."""
    number = int(scorecard_id.replace("-", ""), 16)
    return states.cards.get(number), {i: row for i, row in states.rows.items() if row.scorecard_id == number}


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
