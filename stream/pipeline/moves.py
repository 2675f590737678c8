"""Whether a change of a scorecard's row may change its place, judged by the images before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from stream.pipeline.envelope import CREATE, DELETE, FAULTS, READ, UPDATE, Envelope
from stream.pipeline.placement import APPEALS, ORDINARY, is_process
from stream.pipeline.refusal import Refusal
from stream.tables import CHATS, SCORE, SCORECARD

Kind = Literal["appeal", "ordinary", "unknown"]


def kind_of(scorecard_type: int | None) -> Kind:
    """The kind that a scorecard's type means. A scorecard of unknown type is never shown."""
    return "appeal" if scorecard_type in APPEALS else "ordinary" if scorecard_type in ORDINARY else "unknown"


def changes_place(change: Envelope) -> bool:
    """Whether a change deletes or moves a scorecard, or may move it because its before-image is not full."""
    if change.op == DELETE:
        return True
    if change.op in {CREATE, READ}:
        return False
    return change.before is None or not stays(change.before, change.after)


def stays(before: Any, after: Any) -> bool:
    """Whether two images of a scorecard surely have the same place, as far as the scorecard decides it."""
    return bool(
        before.customer_id  # otherwise the before-image is not full
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
    """A conversation whose scorecards must be reindexed.

    `arrived`: it was inserted, and nothing else happened. `unordered`: its version does not tell the order.
    """

    version: int
    arrived: bool
    unordered: bool = False


def moved_conversations(changes: Sequence[Envelope], refusals: Iterable[Refusal] = ()) -> dict[str, Moved]:
    """Conversations whose scorecards must be reindexed, each with the version to write at.

    These are conversations that arrived, went away, or have another start; and those that a refused message names,
    since nobody knows what it changed. A chat of the initial snapshot needs nothing: its scorecards are in the same
    snapshot. A chat of an incremental snapshot does, because an operator asked for it.
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
                moved.unordered = moved.unordered or change.unordered
    for refusal in refusals:
        for conversation_id in refusal.ids:
            moved = found.setdefault(conversation_id, Moved(0, arrived=False))
            moved.version = max(moved.version, refusal.version)
            moved.arrived = False
            moved.unordered = moved.unordered or refusal.unordered
    return found


def may_move(table: str, value: bytes | None) -> bool:
    """Whether a message of this table deletes a row or changes its place, or may do so: a tail pass applies these.

    The decoder reads only the columns that decide a place. A message that cannot be read may do anything.
    """
    if value is None:
        return False
    try:
        change = _decode(value)
    except FAULTS:
        return True
    if change.op == DELETE:
        return True
    if change.op != UPDATE:
        # A chat that arrives gives its scorecards their place. One of the initial snapshot is older than they are.
        incremental = change.source is not None and change.source.snapshot == "incremental"
        return change.op not in {CREATE, READ} or (table == CHATS and (change.op != READ or incremental))
    return change.before is None or _differ(change.before, change.after, *_DECIDE[table])


class _Deciding(msgspec.Struct, gc=False):
    """The columns of any source table that decide a place, as the message has them."""

    scorecard_id: Any = None
    customer_id: Any = None
    conversation_id: Any = None
    scorecard_type: Any = None
    scorecard_time: Any = None
    started_at: Any = None


class _Origin(msgspec.Struct, gc=False):
    snapshot: Any = None


class _Slim(msgspec.Struct, gc=False):
    op: str
    after: _Deciding | None = None
    before: _Deciding | None = None
    source: _Origin | None = None


_decode = msgspec.json.Decoder(_Slim).decode
# A change of these columns may move rows.
_DECIDE = {
    CHATS: ("customer_id", "started_at"),
    SCORECARD.source: ("customer_id", "scorecard_type", "scorecard_time", "conversation_id"),
    SCORE.source: ("scorecard_id",),
}


def _differ(before: Any, after: Any, *names: str) -> bool:
    return after is None or any(getattr(before, name) != getattr(after, name) for name in names)


def _same_start(before: Any, after: Any) -> bool:
    return (
        before is not None
        and before.conversation_id == after.conversation_id
        and before.customer_id  # otherwise the before-image is not full, and its missing start means nothing
        and before.started_at == after.started_at
    )
