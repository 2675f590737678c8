"""The monitor: asks every part how it is, keeps the last hour, and serves the dashboard. It changes nothing anywhere.

    Kafka, Postgres, Connect, ClickHouse, /api/process  --a thread each-->  Readings  -->  diagnosis, state, metrics

Each source has a thread of its own: one that hangs makes only its own answer old. `Monitor` also runs inside a worker.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from stream.canary import Canary, CanaryTrack
from stream.config import Settings
from stream.connect import Connect, Status
from stream.diagnosis import findings, freshness, headline
from stream.errors import ConfigError, ScorestreamError
from stream.health import Check, Health
from stream.history import History
from stream.lag import Limits, Look, PartitionLag, Track
from stream.lag_source import Group, LagSource, Offsets, Retention
from stream.monitor_metrics import exposition
from stream.monitor_state import state
from stream.offsets import TP
from stream.process_source import Process, ProcessSource
from stream.readings import DeadLetters, Kafka, Readings, Replay, Source
from stream.replay_source import ReplaySource
from stream.source_health import Shard, ShardSource, Slot, SlotSource
from stream.tables import SOURCES
from stream.web.server import serve

log = logging.getLogger(__name__)
T = TypeVar("T")

_PARTITIONS_S = 30.0  # partitions, log starts and retention are asked for so often
_SAVE_S = 10.0


class Poller(Generic[T]):
    """Calls `read` every `every_s` in a thread, and remembers the last answer and the error since then."""

    def __init__(self, name: str, read: Callable[[], T], *, every_s: float, close: Callable[[], None]) -> None:
        self.source: Source[T] = Source(name)
        self._read = read
        self._every_s = every_s
        self._close = close
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"monitor-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def once(self) -> Source[T]:
        """Ask once, in the caller's thread."""
        now, before = time.time(), self.source
        try:
            value = self._read()
        except ScorestreamError as error:
            if before.error is None:
                log.warning("source=%s cause=%r", before.name, str(error))
            since = before.error_since or now
            self.source = Source(before.name, before.value, before.at, str(error), since)
        else:
            self.source = Source(before.name, value, time.time())
        return self.source

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=6)
        if not self._thread.is_alive():
            self._close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.once()
            except Exception:
                log.exception("source=%s", self.source.name)
                old = self.source
                self.source = Source(old.name, old.value, old.at, "internal error; see the log", time.time())
            self._stopping.wait(max(0.2, self._every_s - (time.monotonic() - began)))


class KafkaReader:
    """One look at the live group after the other."""

    def __init__(self, settings: Settings, limits: Limits, reached: dict[TP, int]) -> None:
        self._settings = settings
        self._source = LagSource(settings.kafka)
        self._limits = limits
        self._topics = [settings.topic(table) for table in SOURCES]
        self._reached = reached
        self.tracks: dict[TP, Track] = {}
        self._partitions: list[TP] = []
        self._retention: dict[str, Retention] = {}
        self._refreshed = float("-inf")
        self._empty_since: float | None = None
        self._letters: deque[tuple[float, int]] = deque()
        self._letter_tps: list[TP] = []

    def read(self) -> Kafka:
        """Raises KafkaUnavailable."""
        source, group_name = self._source, self._settings.kafka.group
        refresh = time.monotonic() - self._refreshed > _PARTITIONS_S or not self._partitions
        if refresh:
            self._partitions = source.partitions(self._topics)
            self._letter_tps = source.partitions([self._settings.dead_letter_topic])
            self._retention = source.retention(sorted({tp.topic for tp in self._partitions}))
        offsets: dict[TP, Offsets] = {}
        if self._partitions:  # those of the dead letters in the same request: each request costs the monitor CPU
            asked = [*self._partitions, *self._letter_tps]
            offsets = source.offsets(group_name, asked, refresh_starts=refresh)
        if refresh:
            self._refreshed = time.monotonic()
        letters = [kept for tp in self._letter_tps if (kept := offsets.pop(tp, None)) is not None]
        wanted = {}
        for tp, each in offsets.items():
            track = self.tracks.get(tp)
            if track is None:
                track = self.tracks[tp] = Track(self._limits, reached=self._reached.get(tp))
            at = track.next_offset(start=each.start, end=each.end, committed=each.committed)
            wanted[tp] = (at, each.end)
        following = source.next_messages(wanted)
        group = source.group(group_name)
        holders = group.holders()
        now = time.time()
        self._empty_since = None if group.members else self._empty_since or now
        lags: dict[TP, PartitionLag] = {}
        for tp, each in offsets.items():
            member = holders.get(tp)
            waiting, next_at = following[tp]
            rebalancing = group.members and not holders
            holder = f"{member.host} ({member.client_id})" if member else None if rebalancing else ""
            lags[tp] = self.tracks[tp].add(Look(now, each.start, each.end, each.committed, waiting, next_at, holder))
        return Kafka(group, self._empty_since, lags, self._retention, self._count_letters(letters, now))

    def close(self) -> None:
        self._source.close()

    def _count_letters(self, letters: list[Offsets], now: float) -> DeadLetters | None:
        if not letters:
            return None
        total = sum(each.end - each.start for each in letters)
        if not self._letters or self._letters[-1][1] != total:
            self._letters.append((now, total))
        # The newest that is older than an hour stays: it says how many there were then.
        while len(self._letters) > 1 and self._letters[1][0] < now - 3600:
            self._letters.popleft()
        came = max(0, total - self._letters[0][1])
        return DeadLetters(total, came, self._letters[-1][0] if came else None)


class Monitor:
    """All sources, and what follows from them. `with`-able: it asks from `start` (or `with`) to `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        own = settings.monitor
        self._limits = Limits(target_s=own.target_s, stuck_s=own.stuck_s)
        self._path = settings.state_dir / "monitor.json"
        self._started = time.time()
        self._kafka_reader = KafkaReader(settings, self._limits, self._load())
        slot, connect = SlotSource(settings.postgres), Connect(settings.connect, timeout_s=4, patience_s=0)
        processes, replays = ProcessSource(own.processes), ReplaySource(settings)
        shards = [ShardSource(settings.clickhouse, number) for number in range(len(settings.clickhouse.shards))]
        self.kafka: Poller[Kafka] = Poller(
            "kafka", self._kafka_reader.read, every_s=own.interval_s, close=self._kafka_reader.close
        )
        self._slot: Poller[tuple[Slot | None, Any]] = Poller(
            "postgres", slot.read, every_s=max(2.0, own.interval_s), close=slot.close
        )
        self._connect: Poller[Status | None] = Poller(
            "connect", lambda: connect.status(settings.connect.connector), every_s=4.0, close=lambda: None
        )
        self._shards: list[Poller[Shard]] = [
            Poller(f"shard {number}", shard.read, every_s=3.0, close=shard.close) for number, shard in enumerate(shards)
        ]
        self._processes: Poller[list[Process]] = Poller(
            "processes", lambda: processes.read(time.time()), every_s=3.0, close=processes.close
        )
        self._replays: Poller[list[Replay]] = Poller("replays", replays.read, every_s=4.0, close=replays.close)
        self._canary = CanaryTrack()
        self._lock = threading.Lock()
        self._since: dict[str, tuple[Any, float]] = {}
        self.history_kept = History()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._newest: dict[str, Any] | None = None
        self._newest_at = 0.0

    @property
    def pollers(self) -> list[Poller[Any]]:
        return [self.kafka, self._slot, self._connect, *self._shards, self._processes, self._replays]

    def start(self) -> Self:
        for poller in self.pollers:
            poller.start()
        self._thread.start()
        return self

    def once(self) -> dict[str, Any]:
        """Ask everything once, side by side, and conclude: for a command that does not stay."""
        threads = [threading.Thread(target=poller.once, daemon=True) for poller in self.pollers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=12)
        return self.state(fresh=True)

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        for poller in self.pollers:
            poller.close()
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

    def _run(self) -> None:
        saved = time.monotonic()
        while not self._stopping.wait(self._settings.monitor.interval_s):
            try:
                self._remember()
                if time.monotonic() - saved > _SAVE_S:
                    self._save()
                    saved = time.monotonic()
            except Exception:
                log.exception("monitor")

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
            state=monitor.state,
            history=monitor.history,
            role="monitor",
            more_metrics=monitor.exposition,
        ) as server,
    ):
        log.warning("dashboard at %s", server.url)
        stopping.wait()
    return 0


__all__ = ["Group", "Monitor", "run"]
