"""Readings of made-up situations, for the tests of the diagnosis, the metrics and the page."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import cache
from typing import Any

from stream.connect.rest import ConnectorStatus, Task
from stream.kafka.broker import Retention
from stream.kafka.groups import Group, GroupMember
from stream.kafka.topic_partition import TP
from stream.monitor.canary import Canary
from stream.monitor.lag import LagLimits, PartitionLook, Track
from stream.monitor.readings import Answer, DeadLetterReading, Kafka, Readings, ReplayReading
from stream.monitor.sources.processes import Document, Process
from stream.monitor.sources.shards import Parts, ShardReading
from stream.monitor.sources.slot import SlotReading

NOW = 1_795_000_000.0
TOPICS = ("scorestream.app.chats", "scorestream.app.scorecards", "scorestream.app.scores")
MEMBER = GroupMember("m1", "scorestream", "10.0.0.7", tuple(TP(t, p) for t in TOPICS for p in range(16)))


@cache
def kafka(
    *, stuck: tuple[int, ...] = (), late_s: float = 0.0, rewound: bool = False, members: bool = True, now: float = NOW
) -> Kafka:
    """Sixteen partitions for each topic; `stuck` partitions of scores wait since 40 s."""
    lags = {}
    for topic in TOPICS:
        for number in range(16):
            track = Track(LagLimits(), reached=5000 if rewound and topic.endswith("scores") else None)
            own = topic.endswith("scores") and (number in stuck or late_s > 0 or not members)
            for back in range(60, -1, -2):
                at = now - back
                holder = "10.0.0.7 (scorestream)" if members else ""
                next_at, committed, end = None, 5000, 5000
                if own and late_s and not stuck:
                    next_at, committed, end = at - late_s * (0.4 + back / 60), 5400 - back * 10, 6000
                elif own and back <= 40:
                    next_at, end = now - 40, 6000
                elif rewound and topic.endswith("scores"):
                    committed = 2000 - back
                lag = track.add(PartitionLook(at, 0, end, committed, next_at is not None, next_at, holder))
            lags[TP(topic, number)] = lag
    group = Group("STABLE", (MEMBER,)) if members else Group("EMPTY")
    kept = {topic: Retention(7 * 86400.0, compacted=True) for topic in TOPICS}
    return Kafka(group, None if members else now - 38, lags, kept, DeadLetterReading(0, 0))


def worker(*, up: bool = True, now: float = NOW) -> Process:
    samples: dict[str, list[tuple[dict[str, str], float | None]]] = {
        "scorestream_messages_consumed_total": [({"mode": "live", "topic": t}, 1000.0) for t in TOPICS],
        "scorestream_messages_outcome_total": [
            ({"mode": "live", "topic": t, "outcome": "written"}, 1000.0) for t in TOPICS
        ],
        "process_resident_memory_bytes": [({}, 2.1e8)],
    }
    problems = [{"at": now - 39, "level": "warning", "text": "retry cause='ClickHouse shard 1: timed out'"}]
    document = Document(
        "worker", "host-b", 4711, now - 8000, now, samples, problems, [(t, p) for t in TOPICS for p in range(16)]
    )
    process = Process("http://10.0.0.7:6066", document, now, looks=deque([(now - 30, document), (now, document)]))
    if not up:
        process.error, process.silent_since = "connection refused", now - 40
    return process


def status(state: str = "RUNNING", task: str = "RUNNING", trace: str | None = None) -> ConnectorStatus:
    return ConnectorStatus("scorestream", state, "connect:8083", (Task(0, task, "connect:8083", trace),))


def source(name: str, value: Any, *, error: str | None = None, now: float = NOW) -> Answer[Any]:
    return Answer(name, value, now - (40 if error else 1), error, now - 39 if error else None)


def fresh(now: float = NOW, **changes: Any) -> Readings:
    """All is well, but for the changes."""
    parts = {"scorecard": Parts(12, 4), "score": Parts(20, 5)}
    base = Readings(
        now=now,
        started=now - 4000,
        limits=LagLimits(),
        group="scorestream-live",
        connector="scorestream",
        slot_name="scorestream",
        kafka=source("kafka", kafka(now=now), now=now),
        slot=source("postgres", SlotReading(True, "reserved", 10**10, 2000, 3 * 10**6, None, None), now=now),
        connect=source("connect", status(), now=now),
        shards=tuple(source(f"shard {n}", ShardReading(parts, None, True), now=now) for n in range(2)),
        canary=Canary("ok", 0.0, now, 0.08, 700, (700, 700)),
        processes=(worker(now=now),),
    )
    return replace(base, **changes)


def situations(now: float = NOW) -> dict[str, Readings]:
    """Name -> readings; the name is that of the finding that must lead, `fresh` of none."""
    paused = SlotReading(False, "reserved", 10**10, 10**6, 3 * 10**6, now - 60, None)
    late = Canary("late", 40.0, now - 40, 0.08, 700, (690, 690))
    silent = Canary("silent", 0.0, now - 40, 0.08, 700, (700, 700))
    replay = ReplayReading(
        "june", "running", "main", 2_000_000, 840_000, 0, 61_000, 19, "", 2, "shadow", now - 20, now, ""
    )
    failed = "java.lang.Exception: boom\nCaused by: org.postgresql.util.PSQLException: slot is in use"
    retry = "ClickHouse shard 1 (http://ch-1:8123): connection refused"
    return {
        "fresh": fresh(now),
        "replaying": fresh(now, replays=(replay,)),
        "lagging": fresh(now, kafka=source("kafka", kafka(late_s=60, now=now), now=now)),
        "stall": fresh(now, kafka=source("kafka", kafka(stuck=(7,), now=now), now=now), canary=late),
        "worker-absent": fresh(
            now,
            kafka=source("kafka", kafka(members=False, now=now), now=now),
            canary=late,
            processes=(worker(up=False, now=now),),
        ),
        "process-silent": fresh(
            now,
            kafka=source("kafka", kafka(stuck=tuple(range(16)), now=now), now=now),
            canary=late,
            processes=(worker(up=False, now=now),),
        ),
        "connector-paused": fresh(
            now, connect=source("connect", status("PAUSED", "PAUSED"), now=now),
            slot=source("postgres", paused, now=now), canary=silent,
        ),
        "connector-failed": fresh(
            now, connect=source("connect", status("RUNNING", "FAILED", failed), now=now),
            slot=source("postgres", paused, now=now), canary=silent,
        ),
        "slot-missing": fresh(
            now, connect=source("connect", status("RUNNING", "FAILED", failed), now=now),
            slot=source("postgres", None, now=now), canary=silent,
        ),
        "slot-inactive": fresh(now, slot=source("postgres", paused, now=now), canary=silent),
        "shard-down": fresh(
            now,
            kafka=source("kafka", kafka(stuck=(7,), now=now), now=now),
            canary=late,
            shards=(fresh(now).shards[0], source("shard 1", None, error=retry, now=now)),
        ),
        "rewind": fresh(now, kafka=source("kafka", kafka(rewound=True, now=now), now=now)),
        "dead-letters": fresh(
            now,
            kafka=source(
                "kafka", replace(kafka(now=now), dead_letters=DeadLetterReading(9, 3, now - 60, open=4)), now=now
            ),
        ),
        "kafka-unreachable": fresh(
            now, kafka=source("kafka", kafka(now=now), error="Kafka at k:9092: no answer", now=now)
        ),
    }  # fmt: skip
