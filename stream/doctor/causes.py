"""Which finding follows from which: the effect goes away with its cause, so it names the cause's way out.

Enters: findings of all systems. Leaves: the same findings; an effect has the way out of its cause. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stream.doctor import across, connect, kafka, postgres
from stream.doctor.finding import DoctorFinding

# The cause that stands first is the one that is named.
_CAUSES = {
    postgres.INACTIVE.id: (
        kafka.SILENT.id,
        connect.SILENT.id,
        connect.PLUGIN.id,
        connect.MISSING.id,
        connect.PAUSED.id,
        connect.FAILED.id,
        across.DEAD.id,
        connect.TASK.id,
    ),
    connect.FAILED.id: (
        postgres.LOST.id,
        postgres.SLOT.id,
        postgres.WAL_LEVEL.id,
        "publication-missing",
        "role-login",
        "role-replication",
    ),
}


def with_causes(found: Sequence[DoctorFinding]) -> list[DoctorFinding]:
    """The findings in their order; each effect says which finding to correct, and how."""
    first = {each.id: each for each in reversed(found)}
    return [_linked(each, first) for each in found]


def _linked(finding: DoctorFinding, first: dict[str, DoctorFinding]) -> DoctorFinding:
    slot = first.get(postgres.SLOT.id)
    if finding.id == connect.MISSING.id and slot is not None:  # without a slot, only Postgres knows of an earlier start
        return replace(finding, way_out=slot.way_out)
    for cause in _CAUSES.get(finding.id, ()):
        if cause in first:
            return replace(finding, what=f"{finding.what} (follows from {cause})", way_out=first[cause].way_out)
    return finding
