"""`scorestream backfill`: history that the log never had, read from Postgres by Debezium's incremental snapshots.

Enters: what to read. Leaves: signals, windows one after another. The rows come through Kafka like every other change. A
read has the order of its own moment. So a change that is committed later wins, in any order of arrival, and a read
changes nothing that is newer (stream/pipeline/ordering.py). It removes nothing: `verify --repair` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from stream.backfill import plan as backfill_plan
from stream.backfill.counts import RowCounts
from stream.backfill.drive import Drive
from stream.backfill.notifications import Notifications
from stream.backfill.plan import BackfillPlan
from stream.backfill.signals import Signals
from stream.backfill.snapshot_watch import CORRELATION, SnapshotWatch
from stream.backfill.state import Backfill, BackfillControl, BackfillTopic
from stream.backfill.status import BackfillStatus, status_of
from stream.connect.connector import absent
from stream.connect.rest import Connect
from stream.errors import ConnectError, UsageError
from stream.kafka.broker import Broker
from stream.kafka.topics import ensure_topics
from stream.postgres.connection import Postgres
from stream.postgres.defining_query import source_of
from stream.progress import Progress
from stream.scope import Scope
from stream.settings_sections import RetrySettings
from stream.tables import SIGNAL
from stream.times import DAY_US

RATE_PER_S = 15_000  # beside a live flow; docs/performance.md has the measurements


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What to read. `window_s` None = one window."""

    name: str | None
    scope: Scope
    window_s: float | None
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackfillSystems:
    """The stores and clients of a backfill, opened and closed by the command.

    Attributes:
        postgres: as the reader's role, without a limit for statements.
        signals: as the role that may write signals.
        retry: how long one of them may be away.
    """

    postgres: Postgres
    signals: Signals
    connect: Connect
    broker: Broker
    retry: RetrySettings


def plan(systems: BackfillSystems, request: BackfillRequest) -> BackfillPlan:
    """The windows and their rows, counted in Postgres now.

    Raises:
        UsageError: no such customer, an empty window, an invalid name, another backfill is under way, or signals would
            not reach the connector.
        ConnectError: the connector does not run.
    """
    name = request.name or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    if not backfill_plan.NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid backfill name: 1 to 32 of a-z, 0-9, '.', '_', '-', a letter or digit first"
        )
    start_us, end_us = request.scope.start_us, request.scope.end_us
    with BackfillTopic(systems.broker) as topic:
        chunk = _check_connector(systems)
        systems.signals.check()
        _refuse_second(topic, name)  # before a long count; `start` asks again under the lock
    counts = RowCounts(systems.postgres)
    counts.check_customers(request.scope.customers)
    if request.window_s is not None and (start_us is None or end_us is None):
        span = counts.span(request.scope.customers)
        if span is not None:
            start_us = span[0] // DAY_US * DAY_US if start_us is None else start_us
            end_us = max(-(-span[1] // DAY_US) * DAY_US, start_us + 1) if end_us is None else end_us
        else:
            start_us = end_us = 0
    # An empty span has no windows; everything else has at least one.
    empty = start_us == end_us == 0
    of = () if empty else backfill_plan.windows(start_us, end_us, size_s=request.window_s)
    rows = counts.rows(request.tables, of, request.scope.customers) if of else {}
    return BackfillPlan(
        name=name,
        customers=request.scope.customers,
        tables=tuple(table for table in backfill_plan.TABLES if table in request.tables),
        windows=of,
        steps=backfill_plan.steps(of, request.tables, rows),
        chunk=chunk,
        created_ms=int(time.time() * 1000),
    )


def start(
    systems: BackfillSystems, made: BackfillPlan, *, stopping: threading.Event, show: bool = True
) -> BackfillStatus:
    """Run a plan to its end, in this process.

    Raises:
        UsageError: another backfill is under way, the name is taken, signals cannot reach the connector.
        Stop, Retry: it could not go on; the text says how to.
    """
    ensure_topics(systems.broker)
    with BackfillTopic(systems.broker) as topic:
        systems.signals.check()
        _take(systems, topic, own="")
        _refuse_second(topic, made.name)
        backfill = Backfill(made)
        topic.put({f"{made.name}/plan": made, f"{made.name}/control": _order("run")})
        return _drive(systems, backfill, topic, stopping=stopping, show=show)


def resume(
    systems: BackfillSystems, name: str | None, *, stopping: threading.Event, show: bool = True
) -> BackfillStatus | None:
    """Go on with the first unread window. None when a process works on it already; that process goes on.

    Raises:
        UsageError: there is no backfill to go on with.
        Stop, Retry: as `start`.
    """
    signals = systems.signals
    with BackfillTopic(systems.broker) as topic:
        backfill = _chosen(topic, name)
        own = backfill.plan.name
        if backfill.result is not None:
            raise UsageError(f"backfill {own} is done; `scorestream backfill start` makes another")
        _check_connector(systems)
        signals.check()
        topic.put({f"{own}/control": _order("run")})
        if not signals.lock() and _wait_for_driver(topic, own):
            signals.send(f"{own}/resume/{time.time_ns()}", "resume-snapshot", '{"type": "incremental"}')
            return None
        _take(systems, topic, own=own)
        if _under_way(systems.connect, backfill):
            signals.send(f"{own}/resume/{time.time_ns()}", "resume-snapshot", '{"type": "incremental"}')
        return _drive(systems, topic.get(own), topic, stopping=stopping, show=show)


def pause(systems: BackfillSystems, name: str | None) -> str:
    """Stop reading for a while, after the chunk under way; returns the backfill's name."""
    with BackfillTopic(systems.broker) as topic:
        backfill = _chosen(topic, name)
        own = backfill.plan.name
        if backfill.result is not None or backfill.control.wanted == "stop":
            raise UsageError(f"backfill {own} is over; there is nothing to pause")
        topic.put({f"{own}/control": _order("pause")})
        systems.signals.send(f"{own}/pause/{time.time_ns()}", "pause-snapshot", '{"type": "incremental"}')
    return own


def stop(systems: BackfillSystems, name: str | None) -> str:
    """End the backfill, after the chunk under way; rows that were read stay. Returns the backfill's name."""
    signals = systems.signals
    with BackfillTopic(systems.broker) as topic:
        backfill = _chosen(topic, name)
        own = backfill.plan.name
        if backfill.result is not None:
            raise UsageError(f"backfill {own} is done; there is nothing to stop")
        topic.put({f"{own}/control": _order("stop")})
        if _under_way(systems.connect, backfill):
            data = backfill_plan.stop_snapshot(systems.postgres.schema, backfill.plan.tables)
            signals.send(f"{own}/stop/{time.time_ns()}", "stop-snapshot", data)
    return own


def status(broker: Broker, name: str | None) -> BackfillStatus | None:
    """How far a backfill is; without a name the newest. None: there is none at all.

    Raises:
        UsageError: there is none of this name.
    """
    with BackfillTopic(broker) as topic:
        held = topic.refresh()
        if not held and name is None:
            return None
        return _status(broker, topic.get(name) if name else list(held.values())[-1])


def _drive(
    systems: BackfillSystems, backfill: Backfill, topic: BackfillTopic, *, stopping: threading.Event, show: bool
) -> BackfillStatus:
    made, broker = backfill.plan, systems.broker
    with systems.postgres.asking() as connection:
        source = source_of(connection, systems.postgres.schema)
    offset = backfill.signal.offset if backfill.signal else 0
    with (
        Notifications(broker, offset=offset) as notifications,
        Progress(f"backfill {made.name}", total=made.rows, unit="rows", show=show) as progress,
    ):
        watch = SnapshotWatch(
            made.name,
            notifications,
            systems.connect,
            schema=systems.postgres.schema,
            give_up_s=systems.retry.give_up_s,
        )
        Drive(
            backfill,
            retry=systems.retry,
            source=source,
            topic=topic,
            signals=systems.signals,
            watch=watch,
            progress=progress,
            stopping=stopping,
        ).run()
    return _status(broker, topic.get(made.name))


def _status(broker: Broker, backfill: Backfill) -> BackfillStatus:
    if backfill.signal is None:
        return status_of(backfill, [])
    with Notifications(broker, offset=backfill.signal.offset) as notifications:
        return status_of(backfill, notifications.all())


def _check_connector(systems: BackfillSystems) -> int:
    """Whether the connector runs and takes signals; returns the rows of one chunk."""
    connect, name, schema = systems.connect, systems.connect.connector, systems.postgres.schema
    found, held = connect.status(name), connect.config(name)
    if found is None or held is None:
        raise UsageError(absent(name))
    if not found.running:
        state = "; ".join(found.failures) or found.state
        way = "restart" if found.failures else "resume"
        raise ConnectError(f"connector {name} does not run ({state}): `scorestream connectors {way}`, then again")
    wanted = {
        "signal.data.collection": f"{schema}.{SIGNAL}",
        "notification.sink.topic.name": systems.broker.topics.notifications,
    }
    wrong = [key for key, value in wanted.items() if held.get(key) != value]
    wrong += [
        key
        for key, value in (("signal.enabled.channels", "source"), ("notification.enabled.channels", "sink"))
        if value not in held.get(key, "").split(",")
    ]
    if wrong:
        raise UsageError(f"connector {name} takes no signals ({', '.join(wrong)}): `scorestream connectors apply`")
    return int(held.get("incremental.snapshot.chunk.size", "1024"))


def _refuse_second(topic: BackfillTopic, name: str) -> None:
    held = topic.refresh()
    if name in held:
        raise UsageError(f"there is a backfill {name!r} already: choose another --name")
    for other, backfill in held.items():
        if backfill.result is None and backfill.control.wanted != "stop":
            how = "is under way" if backfill.driven else "is not at its end"
            raise UsageError(
                f"backfill {other} {how}: `scorestream backfill status` shows it, "
                f"`scorestream backfill resume {other}` goes on with it, `scorestream backfill stop {other}` ends it"
            )


def _take(systems: BackfillSystems, topic: BackfillTopic, *, own: str) -> None:
    """Take the lock, and make sure that Debezium is not at another program's snapshot."""
    if not systems.signals.lock():
        driven = [f"{b.plan.name} (process {b.driver.pid} on {b.driver.host})" for b in topic.refresh().values()
                  if b.driven and b.driver is not None]  # fmt: skip
        raise UsageError(
            f"a backfill is under way: {', '.join(driven) or 'by another process'}; `scorestream backfill status` "
            "shows it, `scorestream backfill stop` ends it"
        )
    running = systems.connect.offsets(systems.connect.connector).get(CORRELATION)
    if running is not None and not (own and str(running).startswith(own + "/")):
        raise UsageError(
            f"Debezium reads an incremental snapshot already, of signal {running}: wait for its end, or send "
            'a signal stop-snapshot with {"type": "incremental"}'
        )


def _under_way(connect: Connect, backfill: Backfill) -> bool:
    """Whether Debezium reads, or is about to read, a step of this backfill."""
    running = connect.offsets(connect.connector).get(CORRELATION)
    if running is not None:
        return str(running).startswith(backfill.plan.name + "/")
    signal = backfill.signal
    return signal is not None and signal.step not in backfill.done


def _chosen(topic: BackfillTopic, name: str | None) -> Backfill:
    """The backfill of this name, or the newest that is not done."""
    if name is not None:
        return topic.get(name)
    held = topic.refresh()
    left = [each for each in held.values() if each.result is None]
    if not left:
        raise UsageError(
            "no backfill is under way" + ("; all that were started are done" if held else ": none was ever started")
        )
    return left[-1]


def _wait_for_driver(topic: BackfillTopic, name: str) -> bool:
    """Whether the process that holds the lock works on this backfill: its report may be seconds away."""
    return topic.get(name).driven


def _order(wanted: str) -> BackfillControl:
    return BackfillControl(wanted, int(time.time() * 1000))  # type: ignore[arg-type]


def expected_s(made: BackfillPlan, rate_per_s: float = RATE_PER_S) -> float:
    """Seconds of a plan at a rate, and half a second for each signal."""
    return made.rows / rate_per_s + 0.5 * len(made.steps)


def known_tables(names: Sequence[str]) -> tuple[str, ...]:
    """The tables of `--table`: scorecards and scores unless others are named."""
    if not names:
        return backfill_plan.TABLES[1:]
    return backfill_plan.TABLES if "all" in names else tuple(dict.fromkeys(names))
