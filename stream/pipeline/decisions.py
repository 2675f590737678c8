"""Changes that need a decision each -> a Plan: deletes, moves, appeals, refused content, values left out by Debezium.

Enters: decoded changes of scores or scorecards, and the places of their scorecards. Leaves: a Plan with an outcome for
each change (stream/pipeline/plan.py). The short way for plain upserts is `plan_upserts`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from stream.errors import Refused
from stream.pipeline.cut_texts import may_be_cut
from stream.pipeline.envelope import CREATE, DELETE, READ, Envelope
from stream.pipeline.ledger import Outcome
from stream.pipeline.moves import changes_place, into_appeal, kind_of
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.plan import OUTCOME_OF, Plan
from stream.pipeline.refusal import Refusal
from stream.pipeline.values import UNAVAILABLE, Bad, convert, uuid_int
from stream.pipeline.writes import Layout
from stream.tables import SCORE, SCORECARD, Table

# A score that moves may come as a delete and a create of one version: each is the newest of its own scorecard's score.
_SCORE_KEY = attrgetter("score_id", "scorecard_id")
_SCORECARD_KEY = attrgetter("scorecard_id")


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
            column.name: convert(column, list(map(attrgetter(column.name), afters)), bad)
            for column in table.columns
            if column.kind != "text"  # needs no conversion, and may still be filled in from a before-image
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


def plan_scores(
    changes: Sequence[Envelope],
    places: Mapping[str, Place],
    layout: Layout,
    *,
    refusals: Iterable[Refusal] = (),
    wanted: Collection[str] | None = None,
) -> Plan:
    """Plan a batch of scores: a score goes where its scorecard is.

    In the scorecard that it leaves it gets a delete marker.

    Args:
        refusals: refused messages of the same batch.
        wanted: scorecards that may be reindexed for those; None: all.
    """
    contents = Contents(SCORE, changes)
    plan = Plan(outcomes=[None] * len(changes), refused=dict(contents.refused))
    plan.settle_refused(refusals, changes, wanted)
    latest = _latest(changes, _SCORE_KEY)
    rows: list[int] = []
    for index, change in enumerate(changes):
        after, before = change.after, change.before
        if change.unordered or index in plan.refused:
            _reindex_scorecards(plan, change, places)
        if change.unordered:
            if index not in plan.refused:
                shown = Outcome.RETIRED if change.op == DELETE else Outcome.WRITTEN
                plan.outcomes[index] = OUTCOME_OF.get(places.get(_row(change).scorecard_id, GONE).state, shown)
            continue
        if change.op == DELETE:
            place = places.get(before.scorecard_id, GONE)
            plan.outcomes[index] = (
                Outcome.RETIRED
                if _mark(plan, before, place, change.version, layout)
                else OUTCOME_OF.get(place.state, Outcome.SUPERSEDED)
            )
            continue
        _mark_left(plan, change, places, layout)
        if index in plan.refused:
            continue
        if latest is not None and latest[_SCORE_KEY(after)] != index:
            plan.outcomes[index] = Outcome.SUPERSEDED
            continue
        state = places.get(after.scorecard_id, GONE).state
        if state != State.VISIBLE:
            plan.outcomes[index] = OUTCOME_OF[state]
        elif _fill_unavailable(SCORE, after, before):
            rows.append(index)
        else:
            plan.reindex_at(after.scorecard_id, change.version)
            plan.customers |= _customer_of(places[after.scorecard_id])
            plan.outcomes[index] = Outcome.WRITTEN
    _write(plan, contents, SCORE, changes, rows=rows, places=places, layout=layout)
    return plan


def plan_scorecards(
    changes: Sequence[Envelope],
    places: Mapping[str, Place],
    layout: Layout,
    *,
    refusals: Iterable[Refusal] = (),
    wanted: Collection[str] | None = None,
) -> Plan:
    """Plan a batch of scorecards.

    A change of place reindexes the scorecard and its scores; others are written in place.

    Args: as of `plan_scores`.
    """
    contents = Contents(SCORECARD, changes)
    plan = Plan(outcomes=[None] * len(changes), refused=dict(contents.refused))
    plan.settle_refused(refusals, changes, wanted)
    latest = _latest(changes, _SCORECARD_KEY)
    moved = _moved(changes, plan)
    rows: list[int] = []
    for index, change in enumerate(changes):
        scorecard_id = _row(change).scorecard_id
        place = places.get(scorecard_id, GONE)
        if scorecard_id in moved or change.unordered or index in plan.refused:
            plan.reindex_at(scorecard_id, change.version, unordered=change.unordered)
            plan.customers |= _customers(change, place)
            if not _names_customer(change):
                plan.anywhere.add(scorecard_id)
        if index in plan.refused:
            continue
        if change.op == DELETE or into_appeal(change):
            plan.outcomes[index] = Outcome.RETIRED
        elif place.state != State.VISIBLE:
            plan.outcomes[index] = OUTCOME_OF[place.state]
        elif latest is not None and latest[scorecard_id] != index:
            plan.outcomes[index] = Outcome.SUPERSEDED
        elif scorecard_id in moved or change.unordered:
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
    """Scorecards that some change of the batch deletes or moves.

    Refused changes count: an appeal is hidden all the same.
    """
    moved: set[str] = set()
    for index, change in enumerate(changes):
        if changes_place(change):
            moved.add(_row(change).scorecard_id)
        if change.op == DELETE:
            continue
        kind = change.after.scorecard_type
        if kind_of(kind) == "unknown":
            # A scorecard of unknown type is never shown. Its rows are retired; an operator who knows the type finds the
            # message.
            plan.refused.setdefault(index, Refused("unknown_type", "scorecard_type is none of NULL, 0, 1, 2, 3"))
            moved.add(change.after.scorecard_id)
    return moved


def _row(change: Envelope) -> Any:
    """The image that has the row's ids."""
    return change.before if change.op == DELETE else change.after


def _latest(changes: Sequence[Envelope], key: Callable[[Any], Any]) -> dict[Any, int] | None:
    """Index of each row's newest change, or None when no row changed twice. Of equal ones the later wins."""
    latest: dict[Any, int] = {}
    for index, change in enumerate(changes):
        row_id = key(_row(change))
        held = latest.get(row_id)
        if held is None or changes[held].version <= change.version:
            latest[row_id] = index
    return None if len(latest) == len(changes) else latest


def _names_customer(change: Envelope) -> bool:
    """Whether a change names the customer that its scorecard had before. Without REPLICA IDENTITY FULL it does not."""
    before = change.before
    return change.op in {CREATE, READ} or (before is not None and bool(before.customer_id))


def _customers(change: Envelope, place: Place) -> set[str]:
    rows = (change.before, change.after)
    return {row.customer_id for row in rows if row is not None and row.customer_id is not None} | _customer_of(place)


def _customer_of(place: Place) -> set[str]:
    return set() if place.state == State.GONE else {place.customer_id}


def _reindex_scorecards(plan: Plan, change: Envelope, places: Mapping[str, Place]) -> None:
    """Reindex the scorecards that a score's images name."""
    for row in (change.after, change.before):
        if row is not None and row.scorecard_id:
            plan.reindex_at(row.scorecard_id, change.version, unordered=change.unordered)
            plan.customers |= _customer_of(places.get(row.scorecard_id, GONE))


def _mark_left(plan: Plan, change: Envelope, places: Mapping[str, Place], layout: Layout) -> None:
    """Mark a score as deleted in the scorecard that it leaves, if it leaves one."""
    before = change.before
    if before is not None and before.scorecard_id and before.scorecard_id != change.after.scorecard_id:
        _mark(plan, before, places.get(before.scorecard_id, GONE), change.version, layout)


def _mark(plan: Plan, before: Any, place: Place, version: int, layout: Layout) -> bool:
    """Mark a score as deleted in its place, or in the one that an appeal would have. False: it has no place."""
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
    """Put the before-image's value where Debezium left a placeholder for unchanged TOAST.

    Returns:
        False: the message does not have a text whole; Postgres has.
    """
    for column in table.columns:
        if column.kind != "text" or (text := getattr(after, column.name)) is None:
            continue
        if text == UNAVAILABLE:
            # In a before-image that is not FULL, NULL means nothing.
            text = None if before is None else getattr(before, column.name)
            if text is None or text == UNAVAILABLE:
                return False
            setattr(after, column.name, text)
        if may_be_cut(text):
            return False
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
    """Collect the rows of these changes, each for the shard of its place. The reindex writes the others."""
    for index in rows:
        plan.outcomes[index] = Outcome.WRITTEN
    if plan.reindex:
        rows = [index for index in rows if not plan.covers(changes[index].after.scorecard_id, changes[index].version)]
    if not rows:
        return
    ids = [changes[index].after.scorecard_id for index in rows]
    known = list(dict.fromkeys(ids))
    number_of = {scorecard_id: uuid_int(scorecard_id) for scorecard_id in known}
    plan.writes.add_placed(
        table,
        layout,
        places=[places[scorecard_id] for scorecard_id in ids],
        scorecards=[number_of[scorecard_id] for scorecard_id in ids],
        columns=contents.columns(rows),
        versions=[changes[index].version for index in rows],
    )
