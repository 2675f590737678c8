"""Rewind: moves the committed offsets of the live group, back or forward. It processes nothing.

Enters: a start point in Kafka's words. Leaves: what would move, for each partition, and the new offsets where asked.
Only while no worker is a member of the group: a member would overwrite them with its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stream.epochs import Epochs
from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.log_reader import LogReader
from stream.kafka.marks import Mark, after_rewind
from stream.kafka.reached import reached_before
from stream.kafka.topic_partition import TP
from stream.replay.start_points import StartPoint, bounds, check_offsets, resolve
from stream.retry import poll
from stream.tables import SOURCES
from stream.topic_names import TopicNames

_WAIT_S = 5.0  # a worker that has just ended is still in the group for a moment


@dataclass(frozen=True, slots=True)
class Move:
    """One partition: from the committed offset (None: there was none) to another."""

    tp: TP
    before: int | None
    after: int
    end: int

    @property
    def messages(self) -> int:
        """Messages that will be processed again; negative = that will be skipped. Counts transaction markers."""
        return (self.end if self.before is None else self.before) - self.after


def plan(broker: Broker, point: StartPoint, *, tables: Sequence[str] = SOURCES) -> list[Move]:
    """What would move, in the order of topic and partition.

    Raises:
        UsageError: the log no longer has what stood there.
    """
    known = bounds(broker, tables, group=broker.live_group)
    check_offsets(broker.topics, point, known)
    chosen = resolve(broker, point, known)
    return [
        Move(tp, known.committed.get(tp), after, known.ends[tp])
        for tp, after in sorted(chosen.items())
        if after != known.committed.get(tp)
    ]


def execute(broker: Broker, moves: Sequence[Move], epochs: Epochs, *, wait_s: float = _WAIT_S) -> None:
    """Commit the new offsets, with what the partitions had reached there.

    Raises:
        UsageError: the group has members.
    """
    check_idle(broker, wait_s=wait_s)
    with LogReader(broker, group=broker.live_group) as reader:
        marks = reader.marks([move.tp for move in moves if move.before is not None])
        # What a worker that died may have begun lies behind the old offset: the mark keeps it in doubt.
        after = {move.tp: move.after for move in moves}
        kept = {tp: after_rewind(offset, Mark.of(text), to=after[tp]) for tp, (offset, text) in marks.items()}
        unknown = {tp: after[tp] for tp, mark in kept.items() if not mark.newest}
        reached = reached_before(broker, unknown, epochs, group=broker.live_group)
        metadata = {tp: str(replace(mark, newest=mark.newest or reached.get(tp, 0))) for tp, mark in kept.items()}
        reader.commit(after, metadata=metadata)


def check_idle(broker: Broker, *, wait_s: float = 0.0) -> None:
    """Raises UsageError while the live group has members, after waiting for them to leave."""
    group = poll(
        lambda: broker.group(broker.live_group), lambda found: not found.members, timeout_s=wait_s, every_s=0.5
    )
    if not group.members:
        return
    hosts = ", ".join(sorted({f"{member.client_id} on {member.host}" for member in group.members}))
    raise UsageError(
        f"group {broker.live_group} has {len(group.members)} active members ({hosts}): stop the workers, then run "
        f"this again (a worker that was killed stays a member for {broker.settings.session_timeout_s:g} s)"
    )


def undo(topics: TopicNames, moves: Sequence[Move]) -> str:
    """The command that moves back what was moved; empty where nothing was committed before."""
    prefix = topics.of("")
    parts = [
        f"{move.tp.topic.removeprefix(prefix)}:{move.tp.partition}={move.before}"
        for move in moves
        if move.before is not None
    ]
    return f"scorestream rewind --to-offset {','.join(parts)} --yes" if parts else ""
