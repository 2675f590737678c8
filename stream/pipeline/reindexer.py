"""Reads scorecards from Postgres, compares them with what stands, and writes, with a bound on rows in memory.

Enters: scorecard ids, each with the version to write at. Leaves: rows and delete markers, and the places they were
written to. Few rows go in one look, more in several, and a scorecard with very many rows goes in pieces. It does not
look whether a scorecard has moved meanwhile: stream/pipeline/settle.py does.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from stream.pipeline.ledger import Counts
from stream.pipeline.ordering import above
from stream.pipeline.pieces import MOST, ROWS_AT_ONCE, Piece, groups, pieces, pieces_for
from stream.pipeline.placement import GONE, Place
from stream.pipeline.ports import Retrying, Source, Target
from stream.pipeline.reindex import Reindex, plan_reindex
from stream.pipeline.stored import Snapshot
from stream.pipeline.values import uuid_int
from stream.pipeline.writes import Layout, Writes
from stream.tables import TARGETS

log = logging.getLogger(__name__)

CHUNK = 1_000  # scorecards in one look: bounds memory when a customer is moved
GONE_CHUNK = 4_000  # the same, of scorecards that Postgres does not have: only what stands of them is looked at
_NOTHING = Snapshot({}, {table.target: () for table in TARGETS})


def in_order_of_target(ids: Iterable[str]) -> list[str]:
    """These ids as ClickHouse sorts UUIDs, so that one look after another reads each stretch of a table once."""
    return sorted(ids, key=_second_half_first)


def _second_half_first(text: str) -> tuple[int, int]:
    number = uuid_int(text)
    return number & 2**64 - 1, number >> 64


class Reindexer:
    """Writes scorecards as Postgres has them now. Arguments as of Settler."""

    def __init__(self, *, source: Source, target: Target, layout: Layout, retry: Retrying) -> None:
        self._source = source
        self._target = target
        self._layout = layout
        self._retry = retry

    def __call__(
        self,
        versions: Mapping[str, int],
        customers: set[str],
        counts: Counts,
        *,
        beside: Writes | None = None,
        aside: dict[str, int] | None = None,
        gone: Collection[str] = (),
    ) -> dict[str, Place]:
        """Reindex, and return the places used; arguments as of `Settler.reindex`."""
        places: dict[str, Place] = {}
        writes = beside or Writes()
        ids = list(versions) if len(versions) <= CHUNK else in_order_of_target(versions)
        there = [i for i in ids if i not in gone] if gone else ids
        for start in range(0, len(there), CHUNK):
            chunk = {i: versions[i] for i in there[start : start + CHUNK]}
            found = self._at_once(chunk, customers, counts, writes)
            places |= self._divided(chunk, customers, counts, writes, aside) if found is None else found
            writes = Writes()
        if len(there) < len(ids):
            left = {i: versions[i] for i in ids if i in gone}
            places |= self._retire(left, customers, counts, writes, aside)
        elif not ids:
            self._write(writes, counts)
        return places

    def _retire(
        self,
        versions: Mapping[str, int],
        customers: set[str],
        counts: Counts,
        writes: Writes,
        aside: dict[str, int] | None,
    ) -> dict[str, Place]:
        """Reindex scorecards that Postgres does not have: ClickHouse alone is asked, for more of them at once."""
        places: dict[str, Place] = {}
        ids, start, size = list(versions), 0, GONE_CHUNK
        while start < len(ids):
            chunk = {i: versions[i] for i in ids[start : start + size]}
            found = self._at_once(chunk, customers, counts, writes, gone=True)
            if found is None and size > CHUNK:  # they have many scores each
                size = CHUNK
                continue
            places |= self._divided(chunk, customers, counts, writes, aside) if found is None else found
            writes = Writes()
            start += size
        return places

    def _divided(
        self,
        versions: Mapping[str, int],
        customers: set[str],
        counts: Counts,
        writes: Writes,
        aside: dict[str, int] | None,
    ) -> dict[str, Place]:
        """Reindex scorecards that have too many rows together: in groups, and the largest in pieces."""
        self._write(writes, counts)
        places: dict[str, Place] = {}
        sizes = self._sizes(versions, customers)
        for group in groups(sizes, ROWS_AT_ONCE):
            own = {i: versions[i] for i in group}
            if sum(sizes[i] for i in group) <= ROWS_AT_ONCE and len(group) < len(versions):
                found = self._at_once(own, customers, counts, Writes())
                places |= self._divided(own, customers, counts, Writes(), aside) if found is None else found
            elif aside is None:
                for scorecard_id in group:
                    one = {scorecard_id: versions[scorecard_id]}
                    places |= self._in_pieces(one, customers, counts, pieces_for(sizes[scorecard_id], ROWS_AT_ONCE))
            else:
                aside.update(own)
        return places

    def _sizes(self, versions: Mapping[str, int], customers: set[str]) -> dict[str, int]:
        """How many rows each of these scorecards has, in the store that has more."""
        ids = list(versions)
        places = self._retry(partial(self._source.places, ids))
        under = sorted(customers | {place.customer_id for place in places.values()})
        sizes = dict.fromkeys(ids, 0) | self._retry(partial(self._source.sizes, ids))
        stands: dict[int, int] = {}
        for found in self._retry(partial(self._target.standing_places, ids, under)):
            stands[found.scorecard_id] = stands.get(found.scorecard_id, 0) + found.rows
        return {i: max(size, stands.get(uuid_int(i), 0)) for i, size in sizes.items()}

    def _in_pieces(
        self, versions: Mapping[str, int], customers: set[str], counts: Counts, count: int
    ) -> dict[str, Place]:
        """Reindex one scorecard piece by piece.

        All pieces must have been written for one place, because only that one is confirmed. When the scorecard moves
        meanwhile, or a piece is too large, it begins again. Then the rows that are already written stand like others.
        """
        while True:
            places: dict[str, Place] | None = None
            for piece in pieces(count):
                found = self._at_once(versions, customers, counts, Writes(), piece, bounded=count < MOST)
                if found is None:
                    count = min(MOST, 2 * count)
                    break
                if places is not None and found != places:
                    break
                places = found
            else:
                assert places is not None
                log.info("reindexed in pieces", extra={"scorecard": next(iter(versions)), "pieces": count})
                return places

    def _at_once(
        self,
        versions: Mapping[str, int],
        customers: set[str],
        counts: Counts,
        writes: Writes,
        piece: Piece | None = None,
        *,
        bounded: bool = True,
        gone: bool = False,
    ) -> dict[str, Place] | None:
        """Reindex all rows of these scorecards, or a piece of them. None: they are too many, and nothing is written."""
        ids = list(versions)
        planned = self._plan(dict(versions), customers, piece, most=ROWS_AT_ONCE + 1 if bounded else None, gone=gone)
        if planned is None:
            return None
        snapshot, plan = planned
        if piece is None or piece.others:
            for scorecard_id in ids:
                counts.withheld.pop(scorecard_id, None)
        for scorecard_id, why in plan.refused:
            counts.withheld[scorecard_id] = counts.withheld.get(scorecard_id, 0) + 1
            log.warning("row withheld", extra={"scorecard": scorecard_id, "cause": str(why)})
        writes.update(plan.markers)
        writes.update(plan.rows)
        self._write(writes, counts)
        return {scorecard_id: snapshot.places.get(scorecard_id, GONE) for scorecard_id in ids}

    def _plan(
        self, versions: dict[str, int], customers: set[str], piece: Piece | None, *, most: int | None, gone: bool
    ) -> tuple[Snapshot, Reindex] | None:
        """A snapshot of these scorecards, and what to write. None: they have `most` rows, or more.

        A row may stand elsewhere at a higher version. Its change is one that the snapshot lacks, or a later one that
        was visible first. So Postgres is read once more. That snapshot holds what the row was written from, and wins
        over it at its version. A standby may lack it, so there the row's own message decides.

        Args:
            gone: an earlier look has found that Postgres has none of them. It counts as a snapshot without rows.
        """
        ids = list(versions)
        while True:
            snapshot = _NOTHING if gone else self._retry(partial(self._source.snapshot, ids, piece=piece, most=most))
            gone = False
            if _reaches(most, snapshot.rows.values()):
                return None
            under = sorted(customers | {place.customer_id for place in snapshot.places.values()})
            standing = self._retry(partial(self._target.standing, ids, under, piece=piece, most=most))
            if _reaches(most, [standing]):
                return None
            plan = plan_reindex(versions, snapshot, standing, self._layout)
            if not plan.newer or not self._retry(self._source.is_primary):
                return snapshot, plan
            versions |= {scorecard_id: above(version) for scorecard_id, version in plan.newer.items()}

    def _write(self, writes: Writes, counts: Counts) -> None:
        if writes:
            self._retry(partial(self._target.write, writes))
        counts.rows += writes.rows


def _reaches(most: int | None, rows: Iterable[Collection[object]]) -> bool:
    return most is not None and any(len(each) >= most for each in rows)
