"""What is wrong, in the sentence that an on-call engineer needs; root causes apart from their effects.

Enters: Readings. Leaves: findings, the gravest root first, and a headline. Pure.

A finding that follows from another (`because`) is shown under it and raises no alarm of its own. For example, with a
shard down the partitions stall, but only the shard needs repair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stream.monitor.faults import (
    STALE_S,
    _canary,
    _connector,
    _group,
    _kafka,
    _postgres,
    _processes,
    _replays,
    _rest,
    _shards,
    _slot,
)
from stream.monitor.finding import NOTE, PAGE, TICKET, Finding
from stream.monitor.hidden import hidden
from stream.monitor.lag import PartitionLag
from stream.monitor.locked import locked
from stream.monitor.readings import Readings, short
from stream.times import duration

_GRAVITY = {PAGE: 0, TICKET: 1, NOTE: 2}


@dataclass(frozen=True, slots=True)
class Headline:
    """`level`: fresh, busy (late, and catching up), late, stuck, unknown."""

    level: str
    title: str
    sentence: str
    since: float | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Age of the oldest change that is not visible; `since` when it grows.

    `by` names the source of the figure: a topic's partition, or the canary.
    """

    seconds: float | None
    since: float | None
    by: str


def freshness(readings: Readings) -> Freshness:
    """How old the oldest change is that readers do not see. 0 when they see all; None when Kafka's answer is old."""
    kafka = readings.kafka
    if kafka.at is None or readings.now - kafka.at > STALE_S:
        return Freshness(None, None, "")
    canary = readings.canary
    late = (
        readings.now - canary.late_s if canary.state == "late" else canary.as_of if canary.state == "silent" else None
    )
    waiting = [(_since(readings, lag), lag.held, tp) for tp, lag in readings.partitions.items() if lag.messages]
    known = [(since, held, tp) for since, held, tp in waiting if since is not None]
    if not known and late is None:
        return Freshness(0.0, None, "")
    oldest, held, tp = min(known, default=(readings.now, False, None))
    if late is not None and late < oldest - 5:
        return Freshness(max(0.0, readings.now - late), late, "canary")
    by = f"{short(tp.topic)}-{tp.partition}" if tp is not None else ""
    return Freshness(max(0.0, readings.now - oldest), oldest if held else None, by)


def _since(readings: Readings, lag: PartitionLag) -> float | None:
    """When the partition's present age began.

    Where messages flow, the one that waited is gone by now. Its age at the look is shown until the next look. An age
    that kept growing in between would draw a saw-tooth.
    """
    if lag.held or lag.seconds is None:
        return lag.next_at
    return readings.now - lag.seconds


def findings(readings: Readings) -> list[Finding]:
    """All findings, roots before their effects, the gravest first."""
    found = [
        *_kafka(readings),
        *_postgres(readings),
        *locked(readings),
        *_connector(readings),
        *_slot(readings),
        *hidden(readings),
        *_shards(readings),
        *_group(readings),
        *_processes(readings),
        *_canary(readings),
        *_rest(readings),
        *_replays(readings),
    ]
    linked = _linked(found, readings)
    return sorted(linked, key=lambda each: (each.because is not None, _GRAVITY[each.level], each.since or 0.0))


def headline(readings: Readings, found: list[Finding], fresh: Freshness) -> Headline:
    """The one sentence for the screen. `found` is the result of `findings`."""
    roots = [each for each in found if each.because is None]
    for level, name in ((PAGE, "stuck"), (TICKET, "late")):
        for each in roots:
            if each.level == level:
                level_name = "unknown" if each.id == "kafka-unreachable" else name
                return Headline(level_name, each.title, each.sentence, each.since, each.id)
    if fresh.seconds is None:
        return Headline("unknown", "Not known yet", "Kafka has not been asked yet.")
    behind = sum(lag.messages for lag in readings.partitions.values())
    if fresh.seconds > readings.limits.target_s:
        drain = max(
            (lag.drain_s for lag in readings.partitions.values() if lag.messages and lag.drain_s is not None), default=0
        )
        left = f"; caught up in about {duration(drain)}" if drain else ""
        return Headline(
            "busy",
            "Catching up",
            f"{behind:,} messages wait, the oldest for {duration(fresh.seconds)}{left}.",
            fresh.since,
            "lag-growing",
        )
    text = "Everything committed in Postgres is visible in ClickHouse."
    if fresh.seconds:
        text = f"The oldest change on its way is {duration(fresh.seconds)} old."
    return Headline("fresh", "Fresh", text)


def _linked(found: list[Finding], readings: Readings) -> list[Finding]:
    """Which finding follows from which."""
    ids = {each.id for each in found}
    causes = {
        "kafka-unreachable": ("connect-unreachable", "connector-failed", "canary", "stall", "worker-absent"),
        "postgres-unreachable": ("connector-failed", "stall", "canary", "slot-inactive"),
        "table-locked": ("stall", "lag-growing", "canary"),
        "connect-unreachable": ("slot-inactive", "canary"),
        "connector-missing": ("slot-inactive", "slot-missing", "canary"),
        "slot-missing": ("connector-failed", "canary"),  # Debezium fails without its slot, and does not drop it
        "connector-failed": ("slot-inactive", "canary"),
        "connector-paused": ("slot-inactive", "canary"),
        "slot-inactive": ("canary",),
        "shard-down": ("stall", "canary", "lag-growing"),
        "worker-absent": ("stall", "canary", "process-silent", "lag-growing"),
        "process-silent": ("stall", "canary"),
        "stall": ("canary", "lag-growing"),
        "lag-growing": ("canary",),
    }
    because: dict[str, str] = {}
    for root, effects in causes.items():
        if root in ids and root not in because:
            for effect in effects:
                because.setdefault(effect, root)
    behind = any(lag.messages for lag in readings.partitions.values())
    silent_pages = any(each.id == "process-silent" and each.level == PAGE for each in found)
    linked = []
    for each in found:
        cause: str | None = because.get(each.id)
        if cause == "process-silent" and not silent_pages:
            cause = None
        # While workers catch up the canary waits in line like every message.
        if each.id == "canary" and cause is None and behind and readings.canary.state == "late":
            cause = "catching-up"
        linked.append(replace(each, because=cause))
    return linked
