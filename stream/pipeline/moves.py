"""Whether a change of a scorecard's row may change its place: told from the images before and after. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stream.pipeline.envelope import CREATE, DELETE, READ, UPDATE, Envelope
from stream.pipeline.placement import APPEALS, ORDINARY, is_process
from stream.tables import CHATS, SCORECARD

Kind = Literal["appeal", "ordinary", "unknown"]


def kind_of(scorecard_type: int | None) -> Kind:
    """What a scorecard's type says; an unknown one is never shown."""
    return "appeal" if scorecard_type in APPEALS else "ordinary" if scorecard_type in ORDINARY else "unknown"


def changes_place(change: Envelope) -> bool:
    """Whether a change of a scorecard deletes it, moves it, or may do so because its before-image is not full."""
    if change.op == DELETE:
        return True
    if change.op in {CREATE, READ}:
        return False
    return change.before is None or not stays(change.before, change.after)


def stays(before: Any, after: Any) -> bool:
    """Whether two images of a scorecard have the same place for sure, as far as the scorecard decides it."""
    return bool(
        before.customer_id  # else the before-image is not full
        and kind_of(before.scorecard_type) == kind_of(after.scorecard_type)
        and (before.conversation_id or None) == (after.conversation_id or None)
        and before.customer_id == after.customer_id
        and (not is_process(after.conversation_id) or before.scorecard_time == after.scorecard_time)
    )


def into_appeal(change: Envelope) -> bool:
    """Whether an update makes an appeal of the scorecard, or may have."""
    return change.op == UPDATE and change.after.scorecard_type in APPEALS and changes_place(change)


@dataclass(slots=True)
class Moved:
    """A conversation whose scorecards must be reindexed. `arrived`: all that happened is that it was inserted."""

    version: int
    arrived: bool


def moved_conversations(changes: Sequence[Envelope]) -> dict[str, Moved]:
    """Conversations whose scorecards must be reindexed, and the version to do it at.

    That is: arrived, gone, or with another start. A chat of the initial snapshot needs nothing, because its scorecards
    are in the same snapshot; one of an incremental snapshot was asked for.
    """
    found: dict[str, Moved] = {}
    for change in changes:
        if change.op == READ and not change.is_incremental:
            continue
        if change.op == UPDATE and _same_start(change.before, change.after):
            continue
        for row in (change.before, change.after):
            if row is not None and row.conversation_id:
                moved = found.setdefault(row.conversation_id, Moved(0, arrived=True))
                moved.version = max(moved.version, change.version)
                moved.arrived = moved.arrived and change.op == CREATE
    return found


def is_for_tail(table: str, change: Envelope) -> bool:
    """Whether the tail pass of a replay applies it: deletes and changes of place, never a row of its own."""
    if table == CHATS:
        return bool(moved_conversations([change]))
    return change.op == DELETE or (table == SCORECARD.source and changes_place(change))


def _same_start(before: Any, after: Any) -> bool:
    return (
        before is not None
        and before.conversation_id == after.conversation_id
        and before.customer_id  # else the before-image is not full, and says nothing of the start
        and before.started_at == after.started_at
    )
