"""A check, and what it found: the values that every file of this folder makes.

Enters: nothing. Leaves: `Check`s, which docs/reference/doctor.md lists, and the `DoctorFinding`s of the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "hint"]
ERROR: Final = "error"  # changes are lost, late or wrong now, or after the next restart
WARNING: Final = "warning"  # works, and fails or costs rows under a condition that comes one day
HINT: Final = "hint"  # works; another way is safer

System = Literal["postgres", "kafka", "connect", "clickhouse", "settings", "processes"]
Purpose = Literal["replay", "cutover", "backfill"]
SYSTEMS: Final[tuple[System, ...]] = ("postgres", "kafka", "connect", "clickhouse", "settings", "processes")
PURPOSES: Final[tuple[Purpose, ...]] = ("replay", "cutover", "backfill")


RECOVER: Final = "scorestream recover"  # it shows its plan and asks before it changes anything


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """One thing that is wrong.

    Attributes:
        id: of the check, as in docs/reference/doctor.md.
        what: what is wrong, with names and values; never a row's values, never a secret.
        then: what happens if it stays.
        way_out: the statement or command to paste; where none suffices, what to do.
    """

    id: str
    system: System
    severity: Severity
    what: str
    then: str
    way_out: str

    def __str__(self) -> str:
        return f"{self.what}: {self.way_out}"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    Attributes:
        severity: of its findings, unless a finding has its own.
        looks: what is wrong when it finds something, for the reference.
        then: what happens if that stays.
        way_out: the way out, where it is the same for each finding.
        purposes: asked only with `--for` one of these; empty: always.
    """

    id: str
    system: System
    severity: Severity
    looks: str
    then: str
    way_out: str
    purposes: tuple[Purpose, ...]

    def found(self, what: str, way_out: str = "", *, severity: Severity | None = None) -> DoctorFinding:
        """A finding of this check."""
        return DoctorFinding(self.id, self.system, severity or self.severity, what, self.then, way_out or self.way_out)


class Checks:
    """The checks of one file, in the order of the reference."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.all: list[Check] = []

    def add(
        self,
        name: str,
        severity: Severity,
        looks: str,
        then: str,
        way_out: str = "",
        *,
        purposes: tuple[Purpose, ...] = (),
    ) -> Check:
        """Declare a check."""
        made = Check(name, self._system, severity, looks, then, way_out, purposes)
        self.all.append(made)
        return made
