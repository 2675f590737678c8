"""The monitor's edge: opens the stores by the settings, and runs the process `scorestream monitor`."""

from __future__ import annotations

import logging
from functools import partial

from stream.clickhouse.shards import Shards
from stream.config import Settings
from stream.connect.rest import Connect
from stream.kafka.announcement import announced
from stream.kafka.broker import Broker
from stream.kafka.settled_letters import count_settled
from stream.kafka.waiting import MOST
from stream.monitor.lag import LagLimits
from stream.monitor.looker import Looker, Pinned
from stream.monitor.monitor import Monitor, Names
from stream.monitor.reached import Reached
from stream.monitor.sources.backfills import BackfillSource
from stream.monitor.sources.customers import CustomerSource
from stream.monitor.sources.kafka import KafkaReader
from stream.monitor.sources.polled import Polled
from stream.monitor.sources.processes import ProcessSource
from stream.monitor.sources.replays import ReplaySource
from stream.monitor.sources.shards import ANSWER_S, ShardSource
from stream.monitor.sources.slot import SlotSource
from stream.postgres.connection import Postgres
from stream.postgres.places import PostgresSource
from stream.supervise import stop_event
from stream.web.fleet_pages import Fleet
from stream.web.health import Health, HealthCheck
from stream.web.server import serve

log = logging.getLogger(__name__)

_STATEMENT_S = 5.0
_HEARD_S = 2.0  # brokers that are away must not hold up the processes, which are asked in the same thread


def open_monitor(settings: Settings, *, idle_s: float = 0.0) -> Monitor:
    """A monitor of the installation that the settings name. It asks nothing yet.

    Args:
        idle_s: sources are asked no more often than this while no viewer looks; 0 = at each one's own interval.
    """
    own = settings.monitor
    limits = LagLimits(target_s=own.target_s, stuck_s=own.stuck_s)
    reached = Reached(settings.state_dir / "monitor.json", settings.kafka.group)
    connect = Connect(settings.connect, timeout_s=4, patience_s=0)
    shards = Shards(settings.clickhouse, timeout_s=ANSWER_S)
    broker = Broker(settings.kafka, settings.topics)
    heard = Broker(settings.kafka, settings.topics, timeout_s=_HEARD_S)
    reader = KafkaReader(
        broker,
        group=settings.kafka.group,
        topics=settings.topics.sources,
        dead_letters=settings.topics.dead_letters,
        limits=limits,
        reached=reached.load(),
        settled=partial(count_settled, broker),
    )
    polled = Polled(
        kafka=reader,
        slot=SlotSource(Postgres(settings.postgres, statement_timeout_s=_STATEMENT_S)),
        connector=lambda: connect.status(settings.connect.connector),
        shards=[ShardSource(shards, number) for number in range(shards.count)],
        processes=ProcessSource(own.processes, announced=partial(announced, heard)),
        replays=ReplaySource(Broker(settings.kafka, settings.topics)),
        backfills=BackfillSource(Broker(settings.kafka, settings.topics)),
        customers=None if idle_s else open_customers(settings),  # a worker that is late has other work
        interval_s=own.interval_s,
        idle_s=idle_s,
    )
    return Monitor(polled, names=names_of(settings), limits=limits, reached=reached)


def open_customers(settings: Settings, *, most: int = MOST) -> CustomerSource:
    """Asks whose changes wait.

    Args:
        most: messages of one look.
    """
    source = PostgresSource(Postgres(settings.postgres, statement_timeout_s=_STATEMENT_S))
    return CustomerSource(Broker(settings.kafka, settings.topics), source.owners, close=source.close, most=most)


def names_of(settings: Settings) -> Names:
    """The settings' names for the parts of the installation."""
    return Names(
        group=settings.kafka.group,
        connector=settings.connect.connector,
        slot=settings.postgres.slot,
        source=f"{Postgres(settings.postgres).database}.{settings.postgres.source_schema}",
        clickhouse=settings.clickhouse.database,
        board=settings.monitor.board_url,
        installation=settings.name,
        customer_metrics=settings.monitor.customers,
    )


def open_looker(settings: Settings, *, ask_monitor: bool, steady: bool) -> Looker:
    """The looker of `scorestream lag`.

    Args:
        ask_monitor: ask this host's monitor, or else its worker, which has a monitor in it: both know the past.
        steady: keep looking.
    """
    host = settings.web.host if settings.web.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104
    urls = [f"http://{host}:{port}/api/state" for port in (settings.monitor.port, settings.web.port)]
    return Looker(
        Broker(settings.kafka, settings.topics),
        names=names_of(settings),
        urls=urls if ask_monitor else (),
        open_monitor=lambda: open_monitor(settings),
        steady=steady,
    )


def looker_of(settings: Settings, *, monitor: str | None, cluster: str | None, steady: bool = False) -> Looker:
    """The looker for one installation of a file.

    Args:
        monitor: URL of its monitor.
        cluster: the id that its brokers must have; None: they are asked for it.
        steady: keep looking.
    """
    return Looker(
        Pinned(cluster) if cluster is not None else Broker(settings.kafka, settings.topics),
        names=names_of(settings),
        urls=[f"{monitor}/api/state"] if monitor is not None else (),
        open_monitor=lambda: open_monitor(settings),
        steady=steady,
    )


def run(settings: Settings, *, port: int | None = None, fleet: Fleet | None = None, alone: bool = False) -> int:
    """Serve the monitor until SIGTERM or SIGINT; returns the exit code.

    Args:
        fleet: many installations, which it serves, too.
        alone: serve the fleet alone, and ask nothing of the settings' own installation.
    """
    web = settings.web.model_copy(update={"port": settings.monitor.port if port is None else port})
    variable = "SCORESTREAM_MONITOR_PORT"
    if alone:
        health = Health(live=(HealthCheck("process", ok=True, reason="answers"),))
        with (
            stop_event() as stopping,
            serve(web, health=lambda: health, fleet=fleet, role="fleet", variable=variable) as server,
        ):
            log.warning("dashboard", extra={"url": server.url})
            stopping.wait()
        return 0
    monitor = open_monitor(settings)
    with (
        stop_event() as stopping,
        monitor,
        serve(
            web,
            health=monitor.health,
            state=monitor.look if fleet is None else lambda: monitor.look() | {"fleet": "fleet"},
            fleet=fleet,
            history=monitor.history,
            role="monitor",
            installation=settings.name,
            more_metrics=monitor.exposition,
            variable=variable,
        ) as server,
    ):
        log.warning("dashboard", extra={"url": server.url})
        stopping.wait()
    return 0
