"""What a finding of the monitor is."""

from __future__ import annotations

from dataclasses import dataclass

PAGE, TICKET, NOTE = "page", "ticket", "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault. `id` names its runbook, and `what` its object, such as a shard or a partition."""

    id: str
    level: str
    title: str
    sentence: str
    since: float | None = None
    what: str = ""
    because: str | None = None
