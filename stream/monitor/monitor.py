"""The monitor: asks every part how it is, keeps the last hour, and serves the dashboard. It changes nothing anywhere.

    Kafka, Postgres, Connect, ClickHouse, /api/process  --a thread each-->  Readings  -->  diagnosis, state, metrics

Each source has a thread of its own (stream/monitor/sources/poller.py). `Monitor` also runs inside a worker, where it
asks seldom while nobody looks.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from typing import Any, Self

from stream.config import Settings
from stream.connect.rest import Connect, Status
from stream.errors import ConfigError
from stream.kafka.offsets import TP
from stream.monitor.canary import Canary, CanaryTrack
from stream.monitor.diagnosis import findings, freshness, headline
from stream.monitor.document import state
from stream.monitor.exposition import exposition
from stream.monitor.history import History
from stream.monitor.lag import Limits
from stream.monitor.readings import Kafka, Readings, Replay, Source
from stream.monitor.sources.kafka import KafkaReader
from stream.monitor.sources.poller import Pace, Poller
from stream.monitor.sources.processes import Process, ProcessSource
from stream.monitor.sources.replays import ReplaySource
from stream.monitor.sources.shards import Shard, ShardSource
from stream.monitor.sources.slot import Slot, SlotSource
from stream.postgres.connection import Postgres
from stream.web.health import Check, Health
from stream.web.server import serve

log = logging.getLogger(__name__)

_SAVE_S = 10.0
_FIRST_S = 2.0  # so long the first who looks waits for answers that are new


class Monitor:
    """All sources, and what follows from them. `with`-able: it asks from `start` (or `with`) to `close`.

    Args:
        idle_s: sources are asked no more often than this while nobody looks; 0 = always as often as each wants.
    """

    def __init__(self, settings: Settings, *, idle_s: float = 0.0) -> None:
        self._settings = settings
        own = settings.monitor
        self._limits = Limits(target_s=own.target_s, stuck_s=own.stuck_s)
        self._path = settings.state_dir / "monitor.json"
        self._started = time.time()
        self._kafka_reader = KafkaReader(settings, self._limits, self._load())
        slot = SlotSource(Postgres(settings.postgres, statement_timeout_s=5))
        connect = Connect(settings.connect, timeout_s=4, patience_s=0)
        self._process_source, replays = ProcessSource(own.processes), ReplaySource(settings)
        processes = self._process_source
        pace = self._pace = Pace(idle_s)
        self._saved = time.monotonic()
        shards = [ShardSource(settings.clickhouse, number) for number in range(len(settings.clickhouse.shards))]
        self.kafka: Poller[Kafka] = Poller(
            "kafka",
            self._kafka_reader.read,
            every_s=own.interval_s,
            pace=pace,
            close=self._kafka_reader.close,
            then=self._after_look,
        )
        self._slot: Poller[tuple[Slot | None, Any]] = Poller(
            "postgres", slot.read, every_s=max(2.0, own.interval_s), pace=pace, close=slot.close
        )
        self._connect: Poller[Status | None] = Poller(
            "connect", lambda: connect.status(settings.connect.connector), every_s=4.0, pace=pace
        )
        self._shards: list[Poller[Shard]] = [
            Poller(f"shard {number}", shard.read, every_s=3.0, pace=pace, close=shard.close)
            for number, shard in enumerate(shards)
        ]
        self._processes: Poller[list[Process]] = Poller(
            "processes", lambda: processes.read(time.time()), every_s=3.0, pace=pace, close=processes.close
        )
        self._replays: Poller[list[Replay]] = Poller(
            "replays", replays.read, every_s=4.0, pace=pace, close=replays.close
        )
        self._canary = CanaryTrack()
        self._lock = threading.Lock()
        self._since: dict[str, tuple[Any, float]] = {}
        self.history_kept = History()
        self._started_pollers = False
        self._newest: dict[str, Any] | None = None
        self._newest_at = 0.0

    @property
    def pollers(self) -> list[Poller[Any]]:
        return [self.kafka, self._slot, self._connect, *self._shards, self._processes, self._replays]

    def start(self, *, also: str | None = None) -> Self:
        """Begin to ask. `also`: the URL of a process that is asked beside the settings' ones: this one's own."""
        if also is not None:
            self._process_source.add(also)
        for poller in self.pollers:
            poller.start()
        self._started_pollers = True
        return self

    def once(self) -> dict[str, Any]:
        """Ask everything once, side by side, and conclude: for a command that does not stay."""
        threads = [threading.Thread(target=poller.once, daemon=True) for poller in self.pollers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=12)
        return self.state(fresh=True)

    def stop(self) -> None:
        """Begin to end: no source is asked any more."""
        for poller in self.pollers:
            poller.stop()

    def close(self, *, within_s: float = 6.0) -> None:
        """End. What hangs is left to itself after that time."""
        self.stop()
        deadline = time.monotonic() + within_s
        for poller in self.pollers:
            poller.close(timeout_s=max(0.0, deadline - time.monotonic()))
        self._save()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self, *, fresh: bool = False) -> dict[str, Any]:
        """What the dashboard shows, at most half a second old."""
        with self._lock:
            if fresh or self._newest is None or time.time() - self._newest_at > 0.5:
                readings = self.readings()
                found, how = findings(readings), freshness(readings)
                self._newest = state(readings, found, headline(readings, found, how), how)
                self._newest_at = time.time()
            return self._newest

    def look(self) -> dict[str, Any]:
        """`state` for somebody who looks. The first after a while waits for new answers, for a short time."""
        if self._pace.looked() and self._started_pollers:
            for poller in self.pollers:
                poller.wake()
            self.kafka.wait(_FIRST_S)
            return self.state(fresh=True)
        return self.state()

    def history(self, since: float) -> dict[str, Any]:
        return self.history_kept.since(since)

    def exposition(self) -> bytes:
        """For /metrics."""
        return exposition(self.readings())

    def readings(self) -> Readings:
        """The newest of everything."""
        now = time.time()
        slot_source = self._slot.source
        slot, written = slot_source.value if slot_source.value is not None else (None, None)
        shards = tuple(shard.source for shard in self._shards)
        beats = [shard.value.beat for shard in shards if shard.value is not None and shard.value.has_heartbeat]
        # Without an answer of either end the canary is silent by no fault of its own.
        read_at = min((shard.at for shard in shards if shard.ok and shard.at is not None), default=now)
        canary = Canary("absent", 0, None, None, None)
        if slot_source.ok:
            canary = self._canary.look(now, written, beats, read_at=read_at if all(s.ok for s in shards) else now)
        status = self._connect.source.value
        extra = {
            "connector_since": self._changed("connector", _connector_key(status), now),
            "slot_inactive_since": self._changed("slot", None if slot is None else slot.active, now),
        }
        return Readings(
            now=now,
            started=self._started,
            limits=self._limits,
            group=self._settings.kafka.group,
            connector=self._settings.connect.connector,
            slot_name=self._settings.postgres.slot,
            kafka=self.kafka.source,
            slot=Source("postgres", slot, slot_source.at, slot_source.error, slot_source.error_since),
            connect=self._connect.source,
            shards=shards,
            canary=canary,
            processes=tuple(self._processes.source.value or ()),
            replays=tuple(self._replays.source.value or ()),
            extra=extra,
        )

    def health(self) -> Health:
        """Live while it answers; ready once Kafka was asked, and while its answer is not old."""
        source = self.kafka.source
        recent = source.at is not None and time.time() - source.at < 30
        reason = source.error or ("answers" if recent else "not asked yet" if source.at is None else "old answer")
        return Health(live=(Check("process", ok=True, reason="answers"),), ready=(Check("kafka", recent, reason),))

    def _changed(self, name: str, value: Any, now: float) -> float:
        if name not in self._since or self._since[name][0] != value:
            self._since[name] = (value, now)
        return self._since[name][1]

    def _after_look(self) -> None:
        """Right after each look at Kafka: an age that was read then and told later would be too great by that."""
        self._remember()
        if time.monotonic() - self._saved > _SAVE_S:
            self._save()
            self._saved = time.monotonic()

    def _remember(self) -> None:
        found = self.state(fresh=True)
        topics = found["topics"]
        hops = found["hops"]["end_to_end"]
        values: dict[str, float | None] = {
            "freshness": found["freshness"]["seconds"],
            "messages": sum(topic["messages"] for topic in topics) if topics else None,
            "produced": sum(topic["produced_per_s"] or 0.0 for topic in topics) if topics else None,
            "consumed": sum(topic["consumed_per_s"] or 0.0 for topic in topics) if topics else None,
            "p99": hops["p99"] if hops else None,
            "slot_bytes": found["slot"].get("lag_bytes"),
        }
        values |= {f"lag:{topic['short']}": topic["seconds"] for topic in topics}
        head = found["headline"]
        self.history_kept.add(found["now"], values, level=head["level"], title=head["title"])

    def _load(self) -> dict[TP, int]:
        """How far each partition was ever indexed: a rewind stays a rewind when the monitor starts anew."""
        try:
            kept = json.loads(self._path.read_text("utf-8"))
            if kept["group"] != self._settings.kafka.group:
                return {}
            return {TP(topic, int(number)): int(at) for topic, number, at in kept["reached"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _save(self) -> None:
        reached = [[*tp, track.reached] for tp, track in self._kafka_reader.tracks.items() if track.reached is not None]
        if not reached:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part = self._path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps({"group": self._settings.kafka.group, "reached": reached}), "utf-8")
            part.replace(self._path)
        except OSError as error:
            log.warning("cannot keep how far the group has come path=%s cause=%s", self._path, error.strerror)


def _connector_key(status: Status | None) -> Any:
    return None if status is None else (status.state, tuple(task.state for task in status.tasks))


def run(settings: Settings, *, port: int | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if settings.monitor.interval_s <= 0:
        raise ConfigError("SCORESTREAM_MONITOR_INTERVAL_S must be above 0")
    web = settings.web.model_copy(update={"port": settings.monitor.port if port is None else port})
    monitor = Monitor(settings)
    with (
        monitor,
        serve(
            web,
            health=monitor.health,
            state=monitor.look,
            history=monitor.history,
            role="monitor",
            more_metrics=monitor.exposition,
        ) as server,
    ):
        log.warning("dashboard at %s", server.url)
        stopping.wait()
    return 0
