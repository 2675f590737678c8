"""Replays in Kafka: a compacted topic with each replay's plan, passes, reports and result.

Enters: settings. Leaves: the topic's content, as values of stream/replay/plan.py. Keys are `<name>/<part>`. Progress is
not here: the committed offsets of the replay's group are the progress.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.state_topic import StateTopic
from stream.kafka.topic_partition import TP
from stream.replay.plan import MemberReport, Pass, ReplayControl, ReplayPlan, ReplayResult
from stream.topic_names import TopicNames

ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(slots=True)
class Replay:
    """All that is known of one replay."""

    plan: ReplayPlan
    passes: list[Pass] = field(default_factory=list)
    control: ReplayControl = field(default_factory=ReplayControl)
    result: ReplayResult | None = None
    members: dict[str, MemberReport] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)  # of other writers, such as the cutover

    @property
    def name(self) -> str:
        return self.plan.name

    @property
    def rate(self) -> int | None:
        """Messages/s that all processes together may do at most; None = no ceiling."""
        return self.plan.rate if self.control.rate is None else self.control.rate or None

    def alive(self, *, within_s: float = 15.0) -> list[MemberReport]:
        """The processes that work on it now, as far as their reports show."""
        since = time.time() * 1000 - within_s * 1000
        return [report for report in self.members.values() if not report.ended and report.at_ms >= since]

    def killed(self) -> list[MemberReport]:
        """The processes that ended without a last word. Batches of theirs may be written and not confirmed."""
        alive = {report.member for report in self.alive()}
        return [report for report in self.members.values() if not report.ended and report.member not in alive]

    @property
    def state(self) -> str:
        """running, pausing, paused, cancelled, done, failed, or stopped: not done, and no process works on it."""
        if self.result is not None:
            return self.result.state
        alive = bool(self.alive())
        if self.control.wanted == "paused":
            return "pausing" if alive else "paused"
        if self.control.wanted == "cancelled":
            return "cancelled"
        return "running" if alive else "stopped"


def check_open(replay: Replay) -> None:
    """Raises UsageError when the replay has ended."""
    if replay.state in ENDED:
        raise UsageError(
            f"replay {replay.name} is {replay.state}: start another, under another name, or `scorestream replay delete "
            f"{replay.name}` first"
        )


def check_kept(plan: ReplayPlan, tps: Iterable[TP], committed: Mapping[TP, int]) -> None:
    """Check that Kafka still has the replay's offsets: each partition got one when the replay was created.

    Raises:
        UsageError: some are gone. The replay would begin those partitions again from its start, beside live.
    """
    gone = sorted(set(tps) - committed.keys())
    if gone:
        raise UsageError(
            f"Kafka no longer has the offsets of group {plan.group}: {len(gone)} partitions have none "
            f"({gone[0].topic}-{gone[0].partition} for one). It removes offsets that rest for "
            f"offsets.retention.minutes, 7 days by default. How far replay {plan.name} came is not known: "
            f"start another, under another name, and `scorestream replay delete {plan.name}`"
        )


def group_of(topics: TopicNames, name: str) -> str:
    """The consumer group of a replay."""
    return f"{topics.prefix}-replay-{name}"


class ReplayTopic(StateTopic):
    """All replays. `with`-able, for one thread. Every method raises KafkaUnavailable when the brokers do not answer."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, broker.topics.replays)

    def refresh(self) -> dict[str, Replay]:
        """All replays by name, as the topic has them now."""
        return _replays(self.values())

    def get(self, name: str) -> Replay:
        """One replay.

        Raises:
            UsageError: there is no replay of this name.
        """
        replays = self.refresh()
        if name not in replays:
            there = ", ".join(sorted(replays)) or "none"
            raise UsageError(f"there is no replay {name!r}; there are: {there} (`scorestream replay list`)")
        return replays[name]


def _replays(values: Mapping[str, bytes]) -> dict[str, Replay]:
    replays = {
        key.removesuffix("/plan"): Replay(msgspec.json.decode(value, type=ReplayPlan))
        for key, value in values.items()
        if key.endswith("/plan")
    }
    for key, value in sorted(values.items()):
        name, _, what = key.partition("/")
        replay = replays.get(name)
        if replay is None:
            continue
        kind, _, rest = what.partition("/")
        if kind == "pass":
            replay.passes.append(msgspec.json.decode(value, type=Pass))
        elif kind == "control":
            replay.control = msgspec.json.decode(value, type=ReplayControl)
        elif kind == "result":
            replay.result = msgspec.json.decode(value, type=ReplayResult)
        elif kind == "member":
            replay.members[rest] = msgspec.json.decode(value, type=MemberReport)
        elif kind == "note":
            replay.notes[rest] = msgspec.json.decode(value)
    return replays
