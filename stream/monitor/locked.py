"""A finding for each source table that a session locks against readers, so that look-ups wait. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from stream.monitor.finding import PAGE, Finding
from stream.monitor.readings import Readings
from stream.times import duration

LOCKED_S = 5.0  # a change of the schema holds its lock for less


def locked(readings: Readings) -> Iterator[Finding]:
    """Locks that last, or for which a reader has waited that long."""
    seen = readings.extra.get("locked_since", readings.now)
    for lock in readings.locks:
        since = min(seen, readings.now - lock.waits_s)
        for_s = readings.now - since
        if for_s < LOCKED_S:
            continue
        waits = f"look-ups have waited for {duration(lock.waits_s)}" if lock.waits_s else "look-ups wait"
        text = f"For {duration(for_s)}: {lock}; {waits}, and the workers commit nothing. `{lock.way_out}`"
        yield Finding("table-locked", PAGE, "A source table is locked", text, since, what=f"{lock.table} {lock.pid}")
