"""A message that waits, by what it names: ids and times, no content."""

from __future__ import annotations

from typing import NamedTuple


class WaitingMessage(NamedTuple):
    """One message: its commit time in Unix seconds, and what it names. Scores name a scorecard and no customer."""

    at: float
    customer_id: str | None
    scorecard_id: str | None


class WaitingLook(NamedTuple):
    """What a look at messages that wait found.

    Attributes:
        cut_at: of what was committed from then on, some was not read; None where all was read.
    """

    messages: list[WaitingMessage]
    cut_at: float | None
