"""How much of a topic a worker takes at once, and how long it waits at its end. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a worker; messages are those of one topic, unless a partition is named.

    Attributes:
        hold_messages: fetching stops when this many are under way.
        uncommitted_messages: fetching stops when this many are delivered and not committed: commits may stall.
        commit_messages: this many acknowledged ones make a commit due, so that commits do not set the pace.
        doubt_messages: the most of one partition that a worker has begun: the limit, and one fetch beyond it.
        finish_s: limit of the wait for batches under way, when partitions are revoked or the process ends.
    """

    hold_messages: int
    uncommitted_messages: int
    commit_messages: int
    doubt_messages: int
    finish_s: float = 6.0

    @classmethod
    def of(cls, max_messages: int) -> Self:
        """The limits for lists of batches that close at `max_messages`: one is under way while the next is filled."""
        return cls(
            hold_messages=2 * max_messages,
            uncommitted_messages=4 * max_messages,
            commit_messages=max_messages,
            doubt_messages=5 * max_messages,
        )
