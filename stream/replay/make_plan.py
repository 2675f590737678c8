"""A request -> a replay's plan, checked against the log, Postgres and ClickHouse; and a look at it before.

Enters: a ReplayRequest. Leaves: a ReplayPlan, kept in Kafka with its group's first offsets committed. It processes
nothing.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from stream.clickhouse.schema.apply import prepare_shadow
from stream.clickhouse.schema.look import check_tables
from stream.errors import UsageError
from stream.kafka.broker import Broker
from stream.kafka.log_reader import LogReader
from stream.kafka.topic_partition import TP
from stream.postgres.connection import Postgres
from stream.postgres.places import PostgresSource
from stream.replay.choose import by_filter, chooser
from stream.replay.plan import Pass, ReplayPlan, Span, default_tables, order_of, table_of
from stream.replay.start_points import LogBounds, StartPoint, bounds, check_offsets, resolve
from stream.replay.state import ReplayTopic, group_of
from stream.scope import Scope
from stream.stores import Stores
from stream.tables import SCORECARD, SOURCES, TEMPLATES
from stream.times import time_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SAMPLE = 4_000  # messages looked at by a dry run
ASSUMED_PER_S = 80_000  # where no replay was ever measured (docs/performance.md)


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What the command line asks for."""

    name: str
    start: StartPoint
    until_ms: int | None = None
    scope: Scope = field(default_factory=Scope)
    tables: tuple[str, ...] = ()
    into: str | None = None
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The findings of a dry run, from some messages."""

    messages: int
    matched: int
    bytes_each: dict[str, float]  # by topic


def plan(stores: Stores, request: ReplayRequest) -> ReplayPlan:
    """The plan of a request.

    Raises:
        UsageError: the request is impossible; the text names the way out.
    """
    if not _NAME.fullmatch(request.name):
        raise UsageError(f"{request.name!r} cannot be a replay's name: letters, digits, dots, dashes, at most 100")
    if request.into == stores.shards.database:
        raise UsageError(f"--into {request.into} is the live database; without --into a replay writes there")
    _check_customers(stores.postgres, request.scope.customers)
    tables = tuple(sorted(request.tables or default_tables(), key=order_of))
    broker = stores.broker
    known = bounds(broker, SOURCES, group=broker.live_group)
    topics = {broker.topics.of(table) for table in tables}
    chosen = LogBounds(*({tp: o for tp, o in held.items() if tp.topic in topics} for held in _each(known)))
    check_offsets(broker.topics, request.start, chosen)
    starts = resolve(broker, request.start, chosen)
    ends = _ends(broker, request, chosen)
    if request.until_ms is not None and request.start.at_ms is not None and request.start.at_ms >= request.until_ms:
        raise UsageError(
            f"the start {time_text(request.start.at_ms)} is not before the end {time_text(request.until_ms)}: "
            "give an earlier --since or a later --until"
        )
    if request.start.offsets and any(chosen.ends.values()) and all(starts[tp] > ends[tp] for tp in starts):
        raise UsageError("the start is after the end in every partition: choose lower offsets, or a later --until")
    spans = tuple(Span(*tp, min(start, ends[tp]), ends[tp]) for tp, start in sorted(starts.items(), key=_order))
    whole = (
        request.start.earliest
        and not any(chosen.starts.values())
        and request.until_ms is None
        and request.scope.is_empty
        and set(tables) >= set(default_tables())
    )
    return ReplayPlan(
        name=request.name,
        group=group_of(broker.topics, request.name),
        created_ms=int(time.time() * 1000),
        tables=tables,
        main=Pass("main", spans),
        ends=tuple(Span(*tp, 0, end) for tp, end in sorted(known.ends.items())),
        scope=request.scope,
        into=request.into,
        rate=request.rate,
        start=request.start.text,
        whole=whole,
    )


def create(stores: Stores, topic: ReplayTopic, made: ReplayPlan) -> None:
    """Keep the plan: from now on the replay exists, and any process may work on it.

    Raises:
        UsageError: the name is taken, or the shadow database is not empty.
        ConfigError, ClickHouseRefused: the tables are another shard's, or not as this release needs them.
    """
    check_name(topic, made.name)
    if made.into is not None:
        prepare_shadow(stores.shards.of(made.into))
    check_tables(stores.shards if made.into is None else stores.shards.of(made.into))
    begun = {span.tp: span.end for span in made.ends}  # for partitions that the main pass does not read
    begun |= {span.tp: span.start for span in made.main.spans}
    with LogReader(stores.broker, group=made.group) as reader:
        reader.commit(begun)
    topic.put({f"{made.name}/plan": made})


def check_name(topic: ReplayTopic, name: str) -> None:
    """Raises UsageError when there is a replay of this name."""
    if (held := topic.refresh().get(name)) is not None:
        resumable = held.state in ("paused", "stopped")
        go_on = f"`scorestream replay resume {name}` to go on with it, or " if resumable else ""
        raise UsageError(
            f"there is a replay {name!r} already ({held.state}): choose another name, or {go_on}"
            f"`scorestream replay delete {name}` first"
        )


def sample(stores: Stores, made: ReplayPlan) -> Sample:
    """Look at some messages of the main pass, from the middle of each partition: how large, how many match."""
    source = PostgresSource(stores.postgres)
    choose = chooser(made.scope, source)
    spans = [span for span in made.main.spans if span.messages]
    each = max(20, _SAMPLE // max(1, len(spans)))
    seen = matched = 0
    sizes: dict[str, list[int]] = {}
    with LogReader(stores.broker, group=f"{made.group}-sample") as reader:
        reader.add({s.tp: (at := s.start + max(0, s.messages - each) // 2, min(s.end, at + each)) for s in spans})
        deadline = time.monotonic() + 10
        while reader.reading and time.monotonic() < deadline:
            for stretch in reader.read(_SAMPLE, timeout_s=0.2):
                sizes.setdefault(stretch.topic, []).extend(len(value) for value in stretch.values if value is not None)
                seen += len(stretch)
                if choose is None:
                    matched += len(stretch)
                else:
                    matched += len(by_filter(table_of(stretch.topic), stretch.values, made.scope, choose))
    return Sample(seen, matched, {topic: sum(found) / len(found) for topic, found in sizes.items() if found})


def _ends(broker: Broker, request: ReplayRequest, known: LogBounds) -> dict[TP, int]:
    if request.until_ms is None:
        return dict(known.ends)
    found = broker.offsets_at(list(known.ends), request.until_ms)
    return {tp: min(end, found.get(tp, end)) for tp, end in known.ends.items()}


def _check_customers(postgres: Postgres, customers: Sequence[str]) -> None:
    """Refuse customers without a template or a scorecard: they are misspelt."""
    if not customers:
        return
    with postgres.asking() as connection:
        rows = connection.execute(f"SELECT DISTINCT customer_id::text FROM {postgres.table(TEMPLATES)}".encode())
        there = {row[0] for row in rows}
        for customer in customers:
            if customer in there:
                continue
            known = f"SELECT 1 FROM {postgres.table(SCORECARD.source)} WHERE customer_id::text = %s LIMIT 1"
            if connection.execute(known.encode(), (customer,)).fetchone() is None:
                near = difflib.get_close_matches(customer, there, n=3)
                hint = f"did you mean {' or '.join(near)}?" if near else "ids are compared letter by letter"
                raise UsageError(f"there is no customer {customer!r} in Postgres; {hint}")


def _each(known: LogBounds) -> tuple[dict[TP, int], ...]:
    return dict(known.starts), dict(known.ends), dict(known.committed)


def _order(item: tuple[TP, int]) -> tuple[int, int]:
    tp, _ = item
    return order_of(table_of(tp.topic)), tp.partition
