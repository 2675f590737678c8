"""A replay's filter over a batch: plans the changes of the wanted scorecards, and ignores the others. Pure.

Enters: decoded changes and the scorecards that the filter wants. Leaves: a Plan with an outcome for each change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stream.pipeline.envelope import DELETE, Envelope
from stream.pipeline.ledger import Outcome
from stream.pipeline.plan import Plan


def plan_wanted(planner: Callable[[Sequence[Envelope]], Plan], changes: Sequence[Envelope], wanted: set[str]) -> Plan:
    """The planner's plan for the changes of wanted scorecards, with IGNORED for all others."""
    kept = [(i, own) for i, change in enumerate(changes) if (own := wanted_part(change, wanted)) is not None]
    at = [i for i, _ in kept]
    part = planner([change for _, change in kept])
    outcomes: list[Outcome | None] = [Outcome.IGNORED] * len(changes)
    for position, index in enumerate(at):
        outcomes[index] = part.outcomes[position]
    return replace(part, outcomes=outcomes, refused={at[position]: why for position, why in part.refused.items()})


def wanted_part(change: Envelope, wanted: set[str]) -> Envelope | None:
    """The part of a change that concerns wanted scorecards; None: nothing.

    A moving score concerns two, of which one may count.
    """
    before, after = change.before, change.after
    if change.op == DELETE:
        return change if before.scorecard_id in wanted else None
    if before is None or not before.scorecard_id or before.scorecard_id == after.scorecard_id:
        return change if after.scorecard_id in wanted else None
    if after.scorecard_id in wanted:
        if before.scorecard_id not in wanted:
            before.scorecard_id = after.scorecard_id  # it leaves a scorecard that must not be touched
        return change
    if before.scorecard_id not in wanted:
        return None
    return type(change)(
        op=DELETE, source=change.source, before=before, after=None, version=change.version, unordered=change.unordered
    )
