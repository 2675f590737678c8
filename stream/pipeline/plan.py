"""Changes + places -> what to write: rows, delete markers, scorecards to reindex, and an outcome for each change.

Pure: no clients, no clock. Appeals are dropped here by their place (stream/pipeline/placement.py). The content of a row
comes from the change, where it belongs from the place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter, itemgetter
from typing import Any

from stream.errors import Refused
from stream.pipeline.envelope import DELETE, Envelope
from stream.pipeline.ledger import Outcome
from stream.pipeline.moves import changes_place, into_appeal, kind_of
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.upserts import Upserts
from stream.pipeline.values import UNAVAILABLE, Bad, convert, uuid_int, uuid_ints
from stream.pipeline.writes import Layout, Writes
from stream.tables import SCORE, SCORECARD, Table

# A score that moves may come as a delete and a create of one version: each is the newest of its own scorecard's score.
_SCORE_KEY = attrgetter("score_id", "scorecard_id")
_SCORECARD_KEY = attrgetter("scorecard_id")
_IGNORED = Outcome.IGNORED, None
_FIRST = itemgetter(0)
_OUTCOME_OF = {State.APPEAL: Outcome.DROPPED, State.WAITING: Outcome.WAITING, State.GONE: Outcome.SUPERSEDED}


@dataclass(slots=True)
class Plan:
    """What a batch of changes asks for."""

    outcomes: list[Outcome | None]  # one for each change; None where `refused` has it
    writes: Writes = field(default_factory=Writes)
    reindex: dict[str, int] = field(default_factory=dict)  # scorecard id -> version
    customers: set[str] = field(default_factory=set)  # under which rows of those scorecards may stand
    refused: Bad = field(default_factory=dict)  # index of the change -> why

    def reindex_at(self, scorecard_id: str, version: int) -> None:
        self.reindex[scorecard_id] = max(version, self.reindex.get(scorecard_id, 0))


class Contents:
    """The columns of a batch's upserts, checked and converted (stream/pipeline/values.py) before anything is planned.

    Attributes:
        refused: index of the change -> why its content cannot be written.
    """

    def __init__(self, table: Table, changes: Sequence[Envelope]) -> None:
        self._table = table
        self._changes = changes
        upserts = [index for index, change in enumerate(changes) if change.op != DELETE]
        afters = [changes[index].after for index in upserts]
        bad: Bad = {}
        self._converted = {
            column.name: convert(column.kind, column.name, list(map(attrgetter(column.name), afters)), bad)
            for column in table.columns
            if column.kind != "text"  # which needs no conversion, and may still be filled in from a before-image
        }
        self._position = None if len(upserts) == len(changes) else {index: at for at, index in enumerate(upserts)}
        self.refused: Bad = {upserts[at]: why for at, why in bad.items()}

    def columns(self, rows: list[int]) -> list[list[Any]]:
        """The columns of these changes, in the order of `Table.columns`."""
        at = rows if self._position is None else [self._position[index] for index in rows]
        every = self._position is None and len(rows) == len(self._changes)
        out = []
        for column in self._table.columns:
            if (values := self._converted.get(column.name)) is None:
                out.append(list(map(attrgetter(column.name), [self._changes[index].after for index in rows])))
            else:
                out.append(values if every else [values[index] for index in at])
        return out


def scorecard_ids(changes: Iterable[Envelope] | Upserts) -> list[str]:
    """All scorecards that changes of scorecards or scores touch, each once."""
    if isinstance(changes, Upserts):
        return list(dict.fromkeys(changes.scorecards))
    found: dict[str, None] = {}
    for change in changes:
        if change.after is not None:
            found[change.after.scorecard_id] = None
        if change.before is not None and change.before.scorecard_id:
            found[change.before.scorecard_id] = None
    return list(found)


def versions_of(changes: Iterable[Envelope] | Upserts) -> dict[str, int]:
    """The highest version among the changes of each scorecard (or of its scores)."""
    if isinstance(changes, Upserts):
        return changes.highest()
    highest: dict[str, int] = {}
    for change in changes:
        for row in (change.after, change.before):
            scorecard_id = None if row is None else row.scorecard_id
            if scorecard_id and highest.get(scorecard_id, -1) < change.version:
                highest[scorecard_id] = change.version
    return highest


def plan_upserts(
    upserts: Upserts, places: Mapping[str, Place], layout: Layout, *, wanted: Collection[str] | None = None
) -> Plan:
    """What `plan_scores` or `plan_scorecards` decides for plain upserts, once for each scorecard.

    Args:
        wanted: the others are ignored; None: all are wanted.
    """
    known = list(dict.fromkeys(upserts.scorecards))
    numbers = dict(zip(known, uuid_ints(known), strict=True))
    wanted = None if wanted is None else set(wanted)
    # Once for each scorecard: what becomes of its messages, on which shard (None: on none), in which place.
    decided: dict[str, tuple[Any, ...]] = {}
    for scorecard_id in known:
        place = places.get(scorecard_id, GONE)
        if wanted is not None and scorecard_id not in wanted:
            decided[scorecard_id] = _IGNORED
        elif place.state == State.VISIBLE and (at := place.event_time_us) is not None:
            placed = place.customer_id, numbers[scorecard_id], at, place.is_process
            decided[scorecard_id] = (Outcome.WRITTEN, layout.shard(at), *placed)
        else:
            decided[scorecard_id] = _OUTCOME_OF[place.state], None
    rows = list(map(decided.__getitem__, upserts.scorecards))
    newest = upserts.newest or [True] * len(rows)
    plan = Plan(outcomes=list(map(_FIRST, rows)))
    shards = [row[1] if new else None for row, new in zip(rows, newest, strict=True)]
    for shard in sorted({shard for shard in shards if shard is not None}):
        mine = [each == shard for each in shards]
        where = [list(column) for column in zip(*compress(rows, mine), strict=True)][2:]
        columns = [list(compress(column, mine)) for column in (*upserts.columns, upserts.versions)]
        plan.writes.add(upserts.table, shard, [*where, *columns, [0] * len(columns[0])])
    if upserts.newest is not None:
        # Where the scorecard is not shown, a scorecard's message tells that rather than that it came twice.
        told = {Outcome.IGNORED} if upserts.table is SCORE else {Outcome.IGNORED, *_OUTCOME_OF.values()}
        plan.outcomes = [
            outcome if new or outcome in told else Outcome.SUPERSEDED
            for outcome, new in zip(plan.outcomes, newest, strict=True)
        ]
    return plan


def plan_scores(changes: Sequence[Envelope], places: Mapping[str, Place], layout: Layout) -> Plan:
    """Scores go where their scorecard is. A score that leaves its scorecard leaves a delete marker there."""
    contents = Contents(SCORE, changes)
    plan = Plan(outcomes=[None] * len(changes), refused=dict(contents.refused))
    latest = _latest(changes, _SCORE_KEY, without=contents.refused)
    rows: list[int] = []
    for index, change in enumerate(changes):
        after, before = change.after, change.before
        if change.op == DELETE:
            place = places.get(before.scorecard_id, GONE)
            plan.outcomes[index] = (
                Outcome.RETIRED
                if _mark(plan, before, place, change.version, layout)
                else _OUTCOME_OF.get(place.state, Outcome.SUPERSEDED)
            )
            continue
        if before is not None and before.scorecard_id and before.scorecard_id != after.scorecard_id:
            _mark(plan, before, places.get(before.scorecard_id, GONE), change.version, layout)
        if index in plan.refused:
            continue
        if latest is not None and latest[_SCORE_KEY(after)] != index:
            plan.outcomes[index] = Outcome.SUPERSEDED
            continue
        state = places.get(after.scorecard_id, GONE).state
        if state != State.VISIBLE:
            plan.outcomes[index] = _OUTCOME_OF[state]
        elif _fill_unavailable(SCORE, after, before):
            rows.append(index)
        else:
            plan.reindex_at(after.scorecard_id, change.version)
            plan.customers.add(places[after.scorecard_id].customer_id)
            plan.outcomes[index] = Outcome.WRITTEN
    _write(plan, contents, SCORE, changes, rows=rows, places=places, layout=layout)
    return plan


def plan_scorecards(changes: Sequence[Envelope], places: Mapping[str, Place], layout: Layout) -> Plan:
    """A change of place reindexes the scorecard with its scores; any other change is written where it belongs."""
    contents = Contents(SCORECARD, changes)
    plan = Plan(outcomes=[None] * len(changes), refused=dict(contents.refused))
    latest = _latest(changes, _SCORECARD_KEY, without=contents.refused)
    moved = _moved(changes, plan)
    rows: list[int] = []
    for index, change in enumerate(changes):
        scorecard_id = _row(change).scorecard_id
        place = places.get(scorecard_id, GONE)
        if scorecard_id in moved:
            plan.reindex_at(scorecard_id, change.version)
            plan.customers |= _customers(change, place)
        if index in plan.refused:
            continue
        if change.op == DELETE or into_appeal(change):
            plan.outcomes[index] = Outcome.RETIRED
        elif place.state != State.VISIBLE:
            plan.outcomes[index] = _OUTCOME_OF[place.state]
        elif latest is not None and latest[scorecard_id] != index:
            plan.outcomes[index] = Outcome.SUPERSEDED
        elif scorecard_id in moved:
            plan.outcomes[index] = Outcome.WRITTEN
        elif _fill_unavailable(SCORECARD, change.after, change.before):
            rows.append(index)
        else:
            plan.reindex_at(scorecard_id, change.version)
            plan.customers |= _customers(change, place)
            plan.outcomes[index] = Outcome.WRITTEN
    _write(plan, contents, SCORECARD, changes, rows=rows, places=places, layout=layout)
    return plan


def _moved(changes: Sequence[Envelope], plan: Plan) -> set[str]:
    """Scorecards that some change of the batch deletes or moves, refused ones too: an appeal is hidden all the same."""
    moved: set[str] = set()
    for index, change in enumerate(changes):
        if changes_place(change):
            moved.add(_row(change).scorecard_id)
        if change.op == DELETE:
            continue
        kind = change.after.scorecard_type
        if kind_of(kind) == "unknown":
            # Never shown: whatever stands of it is retired, and the message is kept for whoever knows the type.
            plan.refused[index] = Refused("unknown_type", f"scorecard_type {kind} is none of NULL, 0, 1, 2, 3")
            moved.add(change.after.scorecard_id)
    return moved


def _row(change: Envelope) -> Any:
    """The image that has the row's ids."""
    return change.before if change.op == DELETE else change.after


def _latest(changes: Sequence[Envelope], key: Callable[[Any], Any], *, without: Bad) -> dict[Any, int] | None:
    """Index of the newest change of each row, or None when no row changed twice. The later of equal ones wins.

    A refused change supersedes nothing.
    """
    latest: dict[Any, int] = {}
    for index, change in enumerate(changes):
        if index in without:
            continue
        row_id = key(_row(change))
        held = latest.get(row_id)
        if held is None or changes[held].version <= change.version:
            latest[row_id] = index
    return None if len(latest) == len(changes) - len(without) else latest


def _customers(change: Envelope, place: Place) -> set[str]:
    rows = (change.before, change.after)
    return {row.customer_id for row in rows if row is not None and row.customer_id} | (
        {place.customer_id} if place.customer_id else set()
    )


def _mark(plan: Plan, before: Any, place: Place, version: int, layout: Layout) -> bool:
    """Mark a score as deleted where it is, or would be if its scorecard were no appeal. False: it has no place."""
    if place.event_time_us is None:
        return False
    plan.writes.add_marker(
        SCORE,
        layout.shard(place.event_time_us),
        {
            "customer_id": place.customer_id,
            "scorecard_id": uuid_int(before.scorecard_id),
            "event_time": place.event_time_us,
            "score_id": uuid_int(before.score_id),
        },
        version=version,
    )
    return True


def _fill_unavailable(table: Table, after: Any, before: Any) -> bool:
    """Put the before-image's value where Debezium left a placeholder for unchanged TOAST. False: it has none."""
    for column in table.columns:
        if column.kind == "text" and getattr(after, column.name) == UNAVAILABLE:
            known = UNAVAILABLE if before is None else getattr(before, column.name)
            # NULL in a before-image that is not FULL says nothing.
            if known == UNAVAILABLE or known is None:
                return False
            setattr(after, column.name, known)
    return True


def _write(
    plan: Plan,
    contents: Contents,
    table: Table,
    changes: Sequence[Envelope],
    *,
    rows: list[int],
    places: Mapping[str, Place],
    layout: Layout,
) -> None:
    """The rows of these changes, each to the shard of its place."""
    if not rows:
        return
    for index in rows:
        plan.outcomes[index] = Outcome.WRITTEN
    ids = [changes[index].after.scorecard_id for index in rows]
    known = list(dict.fromkeys(ids))
    number_of = dict(zip(known, convert("uuid", "scorecard_id", known, {}), strict=True))
    plan.writes.add_placed(
        table,
        layout,
        places=[places[scorecard_id] for scorecard_id in ids],
        scorecards=[number_of[scorecard_id] for scorecard_id in ids],
        columns=contents.columns(rows),
        versions=[changes[index].version for index in rows],
    )
