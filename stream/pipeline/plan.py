"""Changes + places -> what to write: rows, delete markers, scorecards to reindex, and an outcome for each change.

Pure: no clients, no clock. What has the place of an appeal (stream/pipeline/placement.py) is dropped. The change
decides a row's content, the place decides where it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import itemgetter
from typing import Any

from stream.pipeline.envelope import Envelope, Upserts
from stream.pipeline.ledger import Outcome
from stream.pipeline.placement import GONE, Place, State
from stream.pipeline.refusal import Refusal
from stream.pipeline.values import Bad, uuid_ints
from stream.pipeline.writes import Layout, Writes
from stream.tables import SCORE

_IGNORED = Outcome.IGNORED, None
_FIRST = itemgetter(0)
OUTCOME_OF = {State.APPEAL: Outcome.DROPPED, State.WAITING: Outcome.WAITING, State.GONE: Outcome.SUPERSEDED}


@dataclass(slots=True)
class Plan:
    """What a batch of changes asks for."""

    outcomes: list[Outcome | None]  # one for each change; None where `refused` has an entry
    writes: Writes = field(default_factory=Writes)
    reindex: dict[str, int] = field(default_factory=dict)  # scorecard id -> version
    customers: set[str] = field(default_factory=set)  # customers under which rows of those scorecards may stand
    unordered: set[str] = field(default_factory=set)  # scorecards to reindex at the highest version that stands
    anywhere: set[str] = field(default_factory=set)  # scorecards of which rows may stand under other customers, too
    refused: Bad = field(default_factory=dict)  # index of the change -> why
    # places where scorecards were written; set while the plan is carried out
    used: dict[str, Place] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)  # of those to reindex: the batch's look has not found them
    aside: dict[str, int] = field(default_factory=dict)  # scorecard id -> version; large reindexes for later
    lost: bool = False  # the worker may have lost the partitions while it was carried out
    of_conversation: dict[str, list[str]] = field(default_factory=dict)  # for chats: scorecards that are reindexed

    def reindex_at(self, scorecard_id: str, version: int, *, unordered: bool = False) -> None:
        self.reindex[scorecard_id] = max(version, self.reindex.get(scorecard_id, 0))
        if unordered:
            self.unordered.add(scorecard_id)

    def covers(self, scorecard_id: str, version: int) -> bool:
        """Whether the reindex writes the scorecard's rows anyway, at this version or a later one."""
        return self.reindex.get(scorecard_id, -1) >= version

    def versions(self, changes: Iterable[Envelope] | Upserts) -> dict[str, int]:
        """The version for each scorecard of these changes, in case it must be reindexed after all."""
        found = versions_of(changes)
        for scorecard_id, version in self.reindex.items():
            found[scorecard_id] = max(version, found.get(scorecard_id, 0))
        return found

    def settle_refused(
        self, refusals: Iterable[Refusal], changes: Sequence[Envelope], wanted: Collection[str] | None
    ) -> None:
        """Reindex the scorecards that refused messages name.

        Args:
            changes: the other messages of the batch. A refused message of unknown order counts as the newest.
            wanted: scorecards that may be reindexed; None: all.
        """
        newest: dict[str, int] | None = None
        for refusal in refusals:
            if refusal.unordered and newest is None:
                newest = versions_of(changes)
            for scorecard_id in refusal.ids:
                if wanted is not None and scorecard_id not in wanted:
                    continue
                version = max(refusal.version, (newest or {}).get(scorecard_id, 0) if refusal.unordered else 0)
                self.reindex_at(scorecard_id, version, unordered=refusal.unordered)
                self.customers |= refusal.customers
                if refusal.anywhere:
                    self.anywhere.add(scorecard_id)


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
    """Plan plain upserts as stream/pipeline/decisions.py would, once for each scorecard.

    Args:
        wanted: scorecards whose changes count, the others are ignored; None: all.
    """
    known = list(dict.fromkeys(upserts.scorecards))
    numbers = dict(zip(known, uuid_ints(known), strict=True))
    wanted = None if wanted is None else set(wanted)
    # Once for each scorecard: the outcome of its messages, its shard (None: none), its place.
    decided: dict[str, tuple[Any, ...]] = {}
    for scorecard_id in known:
        place = places.get(scorecard_id, GONE)
        if wanted is not None and scorecard_id not in wanted:
            decided[scorecard_id] = _IGNORED
        elif place.state == State.VISIBLE and (at := place.event_time_us) is not None:
            placed = place.customer_id, numbers[scorecard_id], at, place.is_process
            decided[scorecard_id] = (Outcome.WRITTEN, layout.shard(at), *placed)
        else:
            decided[scorecard_id] = OUTCOME_OF[place.state], None
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
        # A message of a scorecard that is not shown keeps its outcome (dropped, waiting, gone) instead of superseded.
        kept_outcomes = {Outcome.IGNORED} if upserts.table is SCORE else {Outcome.IGNORED, *OUTCOME_OF.values()}
        plan.outcomes = [
            outcome if new or outcome in kept_outcomes else Outcome.SUPERSEDED
            for outcome, new in zip(plan.outcomes, newest, strict=True)
        ]
    return plan
