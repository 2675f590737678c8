"""The name of a partition: its topic and its number."""

from __future__ import annotations

from typing import NamedTuple


class TP(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int
