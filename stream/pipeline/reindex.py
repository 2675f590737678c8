"""Reindex: makes ClickHouse equal to Postgres for some scorecards, regardless of which rows stand there.

Enters: the scorecards and their scores as one snapshot of Postgres has them, the rows that stand in ClickHouse, and the
version to write at. Leaves: rows for the present place, and delete markers for rows elsewhere up to that version. Rows
that stand elsewhere at a higher version are named: a later look at Postgres decides over them. A row that ClickHouse
cannot hold is refused: it stands nowhere. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.errors import Refused
from stream.pipeline.placement import GONE, State
from stream.pipeline.stored import Key, Snapshot, Standing
from stream.pipeline.values import Bad, convert_checked, uuid_int
from stream.pipeline.writes import Layout, Writes
from stream.tables import SCORE, SCORECARD, TARGETS, Table


@dataclass(slots=True)
class Reindex:
    """What to write. Markers and rows go together, so that a moving row is hardly ever gone, or there twice."""

    markers: Writes = field(default_factory=Writes)
    rows: Writes = field(default_factory=Writes)
    refused: list[tuple[str, Refused]] = field(default_factory=list)  # (scorecard id, why)
    newer: dict[str, int] = field(default_factory=dict)  # scorecard -> version of a row that stands elsewhere, higher


def plan_reindex(
    versions: Mapping[str, int], snapshot: Snapshot, standing: Iterable[Standing], layout: Layout
) -> Reindex:
    """Plan the writes after which the scorecards of `versions` stand as `snapshot` has them."""
    out = Reindex()
    kept: set[Key] = set()
    for table in TARGETS:
        kept |= _rows_of(table, snapshot, versions, out=out, layout=layout)
    by_int = {uuid_int(scorecard_id): scorecard_id for scorecard_id in versions}
    retired: dict[tuple[int, str], list[tuple[Key, int]]] = {}
    for key, stands_at in standing:
        scorecard_id = by_int[key.scorecard_id]
        if key in kept:
            continue
        if stands_at > (version := versions[scorecard_id]):
            out.newer[scorecard_id] = max(stands_at, out.newer.get(scorecard_id, 0))
        else:
            retired.setdefault((key.shard, key.table), []).append((key, version))
    for table in TARGETS:
        for shard in sorted(shard for shard, name in retired if name == table.target):
            _mark(table, shard, retired[shard, table.target], out.markers)
    return out


def _mark(table: Table, shard: int, retired: list[tuple[Key, int]], markers: Writes) -> None:
    """Add a delete marker for each of these rows of one shard, column by column."""
    keys = [key for key, _ in retired]
    columns: dict[str, list[Any]] = {
        "customer_id": [key.customer_id for key in keys],
        "scorecard_id": [key.scorecard_id for key in keys],
        "event_time": [key.event_time_us for key in keys],
        table.id: [key.row_id for key in keys],
    }
    markers.add_markers(table, shard, columns, versions=[version for _, version in retired])


def _rows_of(
    table: Table, snapshot: Snapshot, versions: Mapping[str, int], *, out: Reindex, layout: Layout
) -> set[Key]:
    """Add the rows to show; returns their keys.

    A row that ClickHouse cannot hold is left out. The older state that stands of it is retired.
    """
    shown = [row for row in snapshot.rows[table.target] if snapshot.places.get(row[0], GONE).state == State.VISIBLE]
    if not shown:
        return set()
    bad: Bad = {}
    scorecards, *columns = (list(column) for column in zip(*shown, strict=True))
    columns = [convert_checked(c, values, bad) for c, values in zip(table.columns, columns, strict=True)]
    known = list(dict.fromkeys(scorecards))
    number_of = {scorecard_id: uuid_int(scorecard_id) for scorecard_id in known}
    ids = [number_of[scorecard_id] for scorecard_id in scorecards]
    row_ids = ids if table is SCORECARD else columns[[c.name for c in SCORE.columns].index(SCORE.id)]
    places = [snapshot.places[scorecard_id] for scorecard_id in scorecards]
    out.refused += [(scorecards[at], why) for at, why in bad.items()]
    good = [at for at in range(len(shown)) if at not in bad]
    kept = {layout.key(table, places[at], scorecard_id=ids[at], row_id=row_ids[at]) for at in good}
    if good:
        out.rows.add_placed(
            table,
            layout,
            places=[places[at] for at in good],
            scorecards=[ids[at] for at in good],
            columns=[[column[at] for at in good] for column in columns],
            versions=[versions[scorecards[at]] for at in good],
        )
    return kept
