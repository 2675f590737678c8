"""The monitor: asks every part for its state, keeps the last hour, and concludes. It changes nothing anywhere.

    Kafka, Postgres, Connect, ClickHouse, /api/process  --a thread each-->  Readings  -->  diagnosis, document, metrics

`Monitor` also runs inside a worker, where it asks seldom while no viewer looks. `wiring.py` opens its stores.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final, NamedTuple, Self

from stream.connect.rest import ConnectorStatus
from stream.monitor.canary import Canary, CanaryTrack
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.monitor.exposition import exposition
from stream.monitor.history import History, course
from stream.monitor.lag import LagLimits
from stream.monitor.reached import Reached
from stream.monitor.readings import Answer, Readings
from stream.monitor.sources.polled import Polled
from stream.monitor.sources.slot import SlotReading
from stream.web.health import Health, HealthCheck

_FIRST_S: Final = 2.0  # how long the first viewer waits for fresh answers
_KEPT_S: Final = 0.5  # the greatest age of a document that a viewer gets


class Names(NamedTuple):
    """Names of the installation's parts. The brokers tell their cluster's id themselves."""

    group: str
    connector: str
    slot: str
    source: str  # database and schema in Postgres
    clickhouse: str  # database in ClickHouse
    board: str | None = None  # URL
    installation: str = "default"
    customer_metrics: int = 0


class Since:
    """Since when a value has not changed, for values that do not tell it themselves."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, float]] = {}

    def of(self, name: str, value: Any, now: float) -> float:
        """When `name` was first seen with this value, without a break since; Unix seconds."""
        if name not in self._known or self._known[name][0] != value:
            self._known[name] = (value, now)
        return self._known[name][1]


class Monitor:
    """All sources, and the conclusions. `with`-able: it asks from `start` (or `with`) to `close`."""

    def __init__(self, polled: Polled, *, names: Names, limits: LagLimits, reached: Reached) -> None:
        self.polled = polled
        self._names = names
        self._limits = limits
        self._reached = reached
        self._started = time.time()
        self._canary = CanaryTrack()
        self._since = Since()
        self._history = History()
        self._lock = threading.Lock()
        self._newest: tuple[float, dict[str, Any]] | None = None
        polled.then = self._after_look

    def start(self, *, also: str | None = None) -> Self:
        """Begin to ask. `also`: the URL of a process that is asked beside the settings' ones: this one's own."""
        self.polled.start(also=also)
        return self

    def once(self) -> dict[str, Any]:
        """Ask every source once, side by side, and conclude: for a command that ends afterwards."""
        self.polled.once()
        return self.state(fresh=True)

    def stop(self) -> None:
        """Begin to end: no source is asked any more."""
        self.polled.stop()

    def close(self, *, within_s: float = 6.0) -> None:
        """End, and leave a hanging source to itself after that time."""
        self.polled.close(within_s=within_s)
        self._reached.save(self.polled.reader.reached())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self, *, fresh: bool = False) -> dict[str, Any]:
        """The dashboard's document, at most half a second old."""
        with self._lock:
            newest = self._newest
            if fresh or newest is None or time.time() - newest[0] > _KEPT_S:
                readings = self.readings()
                found, how = findings(readings), freshness(readings)
                document = state(readings, found, headline(readings, found, how), how)
                newest = self._newest = time.time(), document | {"board": self._names.board}
            return newest[1]

    def look(self) -> dict[str, Any]:
        """`state` for a viewer. After a pause the first viewer waits a short time for new answers."""
        if self.polled.pace.looked() and self.polled.started:
            self.polled.wake()
            self.polled.kafka.wait(_FIRST_S)
            return self.state(fresh=True)
        return self.state()

    def history(self, since: float, *, day: bool = False) -> dict[str, Any]:
        """The course after a Unix time, of the last hour or of the last day."""
        return self._history.since(since, day=day)

    def exposition(self) -> bytes:
        """The text for /metrics."""
        return exposition(self.readings())

    def readings(self) -> Readings:
        """The newest answer of every source."""
        now, polled = time.time(), self.polled
        answer = polled.slot.source
        slot = answer.value.slot if answer.value is not None else None
        locks = answer.value.locks if answer.ok and answer.value is not None else ()
        return Readings(
            now=now,
            started=self._started,
            limits=self._limits,
            installation=self._names.installation,
            group=self._names.group,
            connector=self._names.connector,
            slot_name=self._names.slot,
            source=self._names.source,
            clickhouse=self._names.clickhouse,
            kafka=polled.kafka.source,
            slot=Answer("postgres", slot, answer.at, answer.error, answer.error_since, answer.slow),
            locks=locks,
            connect=polled.connect.source,
            shards=tuple(shard.source for shard in polled.shards),
            canary=self._look_at_canary(now),
            processes=tuple(polled.processes.source.value or ()),
            replays=tuple(polled.replays.source.value or ()),
            backfills=tuple(polled.backfills.source.value or ()),
            customers=polled.customers.source.value if polled.customers is not None else None,
            customer_metrics=self._names.customer_metrics,
            extra=self._times(slot, polled.connect.source.value, now)
            | {"locked_since": self._since.of("locks", tuple((each.table, each.pid) for each in locks), now)},
        )

    def health(self) -> Health:
        """Live while it answers. Ready once Kafka was asked, and while its answer is not old."""
        source = self.polled.kafka.source
        recent = source.at is not None and time.time() - source.at < 30
        reason = source.error or ("answers" if recent else "not asked yet" if source.at is None else "old answer")
        return Health(
            live=(HealthCheck("process", ok=True, reason="answers"),), ready=(HealthCheck("kafka", recent, reason),)
        )

    def _look_at_canary(self, now: float) -> Canary:
        answer, shards = self.polled.slot.source, [shard.source for shard in self.polled.shards]
        if not answer.ok or answer.value is None:  # without an answer of Postgres nothing can be said
            return Canary("absent", 0, None, None, None)
        beats = [shard.value.beat for shard in shards if shard.value is not None and shard.value.has_heartbeat]
        # Without an answer of every shard the path is not to blame for a late canary.
        read_at = min((shard.at for shard in shards if shard.ok and shard.at is not None), default=now)
        return self._canary.look(
            now, answer.value.beat, beats, read_at=read_at if all(shard.ok for shard in shards) else now
        )

    def _times(self, slot: SlotReading | None, status: ConnectorStatus | None, now: float) -> dict[str, float]:
        states = None if status is None else (status.state, tuple(task.state for task in status.tasks))
        return {
            "connector_since": self._since.of("connector", states, now),
            "slot_inactive_since": self._since.of("slot", None if slot is None else slot.active, now),
        }

    def _after_look(self) -> None:
        """Conclude right after each look at Kafka: an age that is shown later would be too great by the delay."""
        found = self.state(fresh=True)
        head = found["headline"]
        self._history.add(found["now"], course(found), level=head["level"], title=head["title"])
        self._reached.save_sometimes(self.polled.reader.reached())
