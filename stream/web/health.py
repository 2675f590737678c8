"""Health of a process, as /livez and /readyz tell it: named checks, each with a reason that an operator can read.

Pure values; the process that knows its state builds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One checked fact. `reason` says what was found, whether the check holds or fails."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """`live`: when one of these fails, only a restart helps.

    `ready`: when one fails, the process does not do its work now.
    """

    live: tuple[HealthCheck, ...] = ()
    ready: tuple[HealthCheck, ...] = ()
    is_ending: bool = False  # the process was asked to end

    @property
    def is_live(self) -> bool:
        return all(check.ok for check in self.live)

    @property
    def is_ready(self) -> bool:
        """Whether the process does its work. A process that is not live is not ready either."""
        return self.is_live and all(check.ok for check in self.ready)


def report(checks: tuple[HealthCheck, ...]) -> dict[str, Any]:
    """The JSON of a probe: `ok`, and each check with its reason."""
    return {
        "ok": all(check.ok for check in checks),
        "checks": {check.name: {"ok": check.ok, "reason": check.reason} for check in checks},
    }
