"""A running replay, as the progress of a job: a bar for each partition on a terminal, otherwise lines.

Enters: summaries of the replay, one after another. Leaves: text on stderr.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.progress import Progress
from stream.replay.status import note


class Display:
    """Shows a replay again and again.

    Args:
        progress: of the messages; the caller opens and closes it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pass = ""

    def show(self, facts: Mapping[str, Any]) -> None:
        """Show the replay as stream/replay/status.py sums it up now."""
        if facts["pass"] != self._pass:
            self._pass = facts["pass"]
            self._progress.begin_stage(facts["done"], total=facts["total"])
        text = f"{self._pass} {note(facts)}"
        self._progress.set(facts["done"], total=facts["total"], note=text, parts=_lanes(facts["partitions"]))


def _lanes(partitions: list[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Messages done and in all of each lane: equal partitions of all topics together."""
    found: dict[int, tuple[int, int]] = {}
    for each in partitions:
        done, total = found.get(each["partition"], (0, 0))
        here = each["committed"] - each["start"], each["end"] - each["start"]
        found[each["partition"]] = done + here[0], total + here[1]
    return {f"partition {lane:>3}": counts for lane, counts in sorted(found.items())}
