"""Findings of changes that are never streamed and rows that cannot be seen, though everything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from stream.monitor.finding import PAGE, TICKET, Finding
from stream.monitor.readings import Readings


def hidden(readings: Readings) -> Iterator[Finding]:
    """Tables that the publication leaves out, and row policies on the tables in ClickHouse."""
    slot = readings.slot.value
    if readings.slot.ok and slot is not None and slot.unpublished:
        names = ", ".join(slot.unpublished)
        text = f"The publication leaves out {names}: changes there never reach Kafka. A table may have been renamed."
        yield Finding("publication", PAGE, "A table is not published", text, what=names)
    for number, shard in enumerate(readings.shards):
        for policy in shard.value.policies if shard.ok and shard.value is not None else ():
            on = policy.table or "all tables"
            whose = "this user" if policy.own else "other users"
            text = f"Row policy {policy.name} on {on} of shard {number} hides rows from {whose}."
            level = PAGE if policy.own else TICKET
            yield Finding("row-policy", level, "A row policy hides rows", text, what=f"{number} {policy.name}")
