"""Health of a process, as /livez and /readyz tell it: named checks, each with a reason that an operator can read.

Pure values; the process that knows its state builds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `reason` says what was found, in both cases."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """`live`: when one fails, only a restart helps. `ready`: when one fails, the process does not do its work now."""

    live: tuple[Check, ...] = ()
    ready: tuple[Check, ...] = ()
    is_ending: bool = False  # the process was asked to end

    @property
    def is_live(self) -> bool:
        return all(check.ok for check in self.live)

    @property
    def is_ready(self) -> bool:
        """A process that is not live is not ready either."""
        return self.is_live and all(check.ok for check in self.ready)


def report(checks: tuple[Check, ...]) -> dict[str, Any]:
    """The JSON of a probe: `ok`, and each check with its reason."""
    return {
        "ok": all(check.ok for check in checks),
        "checks": {check.name: {"ok": check.ok, "reason": check.reason} for check in checks},
    }
