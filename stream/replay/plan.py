"""What a replay is to do: its plan and its passes. Values that are kept in Kafka as JSON. Pure.

main    all changes of the chosen tables from the start to the end that was captured (or is given)
tail    deletes and changes of place from there to the end as it is when the main pass is done: the replay may have
        written an old change into a place that its row has left, or lost, since (docs/explanation/failures.md)
follow  into a shadow instead: all changes of all tables, since nobody else writes there
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from stream.kafka.topic_partition import TP
from stream.scope import Scope
from stream.tables import CHATS, SCORE, SCORECARD, SOURCES

PassKind = Literal["main", "tail", "follow"]
Wanted = Literal["running", "paused", "cancelled"]


class Span(msgspec.Struct, frozen=True):
    """Offsets [start, end) of a partition."""

    topic: str
    partition: int
    start: int
    end: int

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    @property
    def messages(self) -> int:
        """At most this many messages: transaction markers and compacted gaps count, too."""
        return max(0, self.end - self.start)


class Pass(msgspec.Struct, frozen=True):
    """A pass through a part of the log."""

    kind: PassKind
    spans: tuple[Span, ...]

    @property
    def messages(self) -> int:
        return sum(span.messages for span in self.spans)

    def lanes(self) -> dict[int, list[Span]]:
        """Spans by partition number. A process works on one lane: the equal partition numbers of all topics."""
        found: dict[int, list[Span]] = {}
        for span in self.spans:
            if span.messages:
                found.setdefault(span.partition, []).append(span)
        return found

    def undone(self, committed: Mapping[TP, int]) -> dict[int, list[Span]]:
        """The rest of each lane after these committed offsets; finished lanes are missing."""
        left: dict[int, list[Span]] = {}
        for lane, spans in self.lanes().items():
            rest = [
                Span(s.topic, s.partition, max(s.start, committed.get(s.tp, s.start)), s.end)
                for s in spans
                if committed.get(s.tp, s.start) < s.end
            ]
            if rest:
                left[lane] = rest
        return left

    def done(self, committed: Mapping[TP, int]) -> int:
        """Messages before the committed offsets."""
        return sum(min(max(committed.get(s.tp, s.start) - s.start, 0), s.messages) for s in self.spans if s.messages)


class ReplayPlan(msgspec.Struct, frozen=True):
    """The request, and the state of the log at that time. It never changes.

    Attributes:
        ends: of all partitions of all source topics, when the replay began.
        start: in the words of the command line.
    """

    name: str
    group: str
    created_ms: int
    tables: tuple[str, ...]
    main: Pass
    ends: tuple[Span, ...]  # of each partition [0, end)
    scope: Scope = msgspec.field(default=Scope(), name="filter")  # the name that plans in Kafka have
    into: str | None = None
    rate: int | None = None
    start: str = "to-earliest"
    whole: bool = True  # from the earliest offset to the captured end, all tables, no filter

    def next_pass(self, done: Iterable[Pass], ends: Mapping[TP, int]) -> Pass | None:
        """The pass after the finished ones, given the present ends of the log; None: the replay is done."""
        finished = list(done)
        if len(finished) > 1:
            return None
        reached = {span.tp: span.end for span in self.ends}
        reached |= {span.tp: span.end for span in finished[0].spans}
        spans = [Span(*tp, reached.get(tp, 0), end) for tp, end in sorted(ends.items())]
        spans = [span for span in spans if span.messages]
        if not spans:
            return None
        return Pass("tail" if self.into is None else "follow", tuple(spans))


class ReplayControl(msgspec.Struct, frozen=True):
    """The operator's wish."""

    wanted: Wanted = "running"
    at_ms: int = 0
    rate: int | None = None  # replaces the plan's; 0 = no ceiling any more


class ReplayResult(msgspec.Struct, frozen=True):
    """How a replay ended."""

    state: Literal["done", "failed", "cancelled"]
    at_ms: int
    error: str = ""


class MemberReport(msgspec.Struct, kw_only=True):
    """A process' account of itself, every second. Counts are since it began."""

    member: str
    host: str
    pid: int
    at_ms: int
    began_ms: int
    passing: int = 0  # number of its present pass
    lanes: list[int] = []
    total: int = 0  # messages of the present pass, of all processes
    reindexed: int = 0  # messages that are done, and were not refused
    failed: int = 0  # dead letters
    matched: int = 0  # messages that the filter (or the tail) let through
    dropped: int = 0  # changes of appeals among these
    rows: int = 0
    outcomes: dict[str, int] = {}
    per_s: float = 0.0
    rss_mb: float = 0.0  # peak
    allowed_per_s: float | None = None
    throttled_by: str = ""
    ended: bool = False
    error: str = ""


def default_tables() -> tuple[str, ...]:
    """The tables of a main pass. Chats only say where scorecards belong, and Postgres is asked for that."""
    return (SCORECARD.source, SCORE.source)


def table_of(topic: str) -> str:
    """The source table of a topic."""
    table = topic.rpartition(".")[2]
    assert table in SOURCES
    return table


def order_of(table: str) -> int:
    """Chats and scorecards first: a batch of scores then finds its scorecards and conversations."""
    return (CHATS, SCORECARD.source, SCORE.source).index(table)
