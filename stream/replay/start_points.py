"""Where to start in the log, in Kafka's own words: to-earliest, to-latest, to-datetime, to-offset, shift-by.

Enters: the words of the command line, and the bounds of the log. Leaves: an offset for each partition. Shared by replay
and rewind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.topic_partition import TP
from stream.tables import SOURCES
from stream.times import time_text
from stream.topic_names import TopicNames


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Exactly one of these is set. Times are milliseconds since 1970."""

    earliest: bool = False
    latest: bool = False
    at_ms: int | None = None
    offsets: tuple[tuple[str, int | None, int], ...] = ()  # (table or "", partition or None for all, offset)
    shift_by: int | None = None

    @property
    def text(self) -> str:
        """The words for people."""
        if self.earliest:
            return "to-earliest"
        if self.latest:
            return "to-latest"
        if self.at_ms is not None:
            return f"since {time_text(self.at_ms)}"
        if self.shift_by is not None:
            return f"shift-by {self.shift_by:+,}"
        parts = (f"{table}:{partition}={offset}" if table else str(offset) for table, partition, offset in self.offsets)
        return "to-offset " + ",".join(parts)


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The log's partitions: their bounds, and a group's committed offsets."""

    starts: Mapping[TP, int]
    ends: Mapping[TP, int]
    committed: Mapping[TP, int]


def bounds(broker: Broker, tables: Sequence[str], *, group: str) -> LogBounds:
    """Bounds of the topics of these tables.

    Raises:
        UsageError: a topic is missing.
    """
    topics = [broker.topics.of(table) for table in tables]
    tps = broker.partitions(topics)
    if missing := sorted(set(topics) - {tp.topic for tp in tps}):
        raise UsageError(f"there is no topic {', '.join(missing)}; run `scorestream topics apply`")
    ends = broker.ends(tps)
    return LogBounds(broker.starts(tps), ends, broker.committed(group, tps))


def resolve(broker: Broker, point: StartPoint, known: LogBounds) -> dict[TP, int]:
    """The offset of each partition that a start point names.

    Raises:
        UsageError: the log no longer has the offsets.
    """
    if point.earliest:
        return dict(known.starts)
    if point.latest:
        return dict(known.ends)
    if point.at_ms is not None:
        return _at(broker, point.at_ms, known)
    found: dict[TP, int] = {}
    for tp, end in known.ends.items():
        if point.shift_by is not None:
            base = known.committed.get(tp)
            found[tp] = known.starts[tp] if base is None else min(end, max(0, base + point.shift_by))
        else:
            found[tp] = min(end, _chosen(broker.topics, point, tp, default=known.committed.get(tp, end)))
    gone = [tp for tp, offset in sorted(found.items()) if offset < known.starts[tp]]
    if gone:
        tp = gone[0]
        raise UsageError(
            f"{tp.topic}-{tp.partition} starts at offset {known.starts[tp]:,}: offset {found[tp]:,} is gone by "
            f"retention{_others(gone)}. {_WAY_OUT}"
        )
    return found


def check_offsets(topics: TopicNames, point: StartPoint, known: LogBounds) -> None:
    """Check explicit offsets.

    Raises UsageError for a partition that does not exist, or an offset beyond the log's end.
    """
    for table, partition, offset in point.offsets:
        if table and TP(topics.of(table), partition or 0) not in known.ends:
            there = sum(tp.topic == topics.of(table) for tp in known.ends)
            has = f"{table} has 0 to {there - 1}" if there else f"--table leaves {table} out"
            raise UsageError(f"--to-offset {table}:{partition}: there is no such partition; {has}")
        beyond = [
            tp
            for tp, end in sorted(known.ends.items())
            if offset > end and (not table or tp == TP(topics.of(table), partition or 0))
        ]
        if beyond and (table or len(beyond) == len(known.ends)):
            raise UsageError(
                f"offset {offset:,} is after the end of {beyond[0].topic}-{beyond[0].partition}, which is "
                f"{known.ends[beyond[0]]:,}: give that or a lower one"
            )


def parse_offsets(texts: Sequence[str]) -> tuple[tuple[str, int | None, int], ...]:
    """`1000` for all partitions, or `TABLE:PARTITION=OFFSET`, several by commas or options.

    Raises:
        UsageError: the text has neither form.
    """
    found: list[tuple[str, int | None, int]] = []
    for text in ",".join(texts).split(","):
        match = re.fullmatch(r"(?:([a-z]+):(\d+)=)?(\d+)", text.strip())
        if match is None or (match[1] and match[1] not in SOURCES):
            raise UsageError(f"--to-offset {text!r} is neither a number nor TABLE:PARTITION=OFFSET")
        found.append((match[1] or "", None if match[2] is None else int(match[2]), int(match[3])))
    return tuple(found)


_WAY_OUT = (
    "Run `scorestream backfill start` for what is gone (it reads Postgres), or start at what the log still has "
    "(--to-earliest)"
)


def _at(broker: Broker, at_ms: int, known: LogBounds) -> dict[TP, int]:
    cut = {tp: (start, known.ends[tp]) for tp, start in known.starts.items() if start > 0}
    first = broker.next_messages(cut) if cut else {}
    gone = [tp for tp, following in sorted(first.items()) if following.at is not None and following.at * 1000 > at_ms]
    if gone:
        tp = gone[0]
        begins = time_text(int((first[tp].at or 0) * 1000))
        raise UsageError(
            f"the log of {tp.topic}-{tp.partition} starts at {begins} (offset {known.starts[tp]:,}): what came between "
            f"{time_text(at_ms)} and then is gone by retention{_others(gone)}. {_WAY_OUT}"
        )
    found = broker.offsets_at(list(known.ends), at_ms)
    return {tp: min(found.get(tp, end), end) for tp, end in known.ends.items()}


def _chosen(topics: TopicNames, point: StartPoint, tp: TP, *, default: int) -> int:
    chosen = default
    for table, partition, offset in point.offsets:
        if not table or TP(topics.of(table), partition or 0) == tp:
            chosen = offset
    return chosen


def _others(gone: Sequence[TP]) -> str:
    return f" (and {len(gone) - 1} partitions more)" if len(gone) > 1 else ""
