"""Whether a change of a scorecard's row may change its place: told from the images before and after. Pure."""

from __future__ import annotations

from typing import Any, Literal

from stream.pipeline.envelope import CREATE, DELETE, READ, UPDATE, Envelope
from stream.pipeline.placement import APPEALS, ORDINARY, is_process

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
