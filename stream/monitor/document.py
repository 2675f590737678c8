"""Readings -> the JSON document that the dashboard, `scorestream lag` and scripts read. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stream.kafka.topic_partition import TP
from stream.monitor.canary import state_of
from stream.monitor.diagnosis import Freshness, Headline
from stream.monitor.finding import Finding
from stream.monitor.lag import SEVERITY, PartitionLag, Verdict
from stream.monitor.readings import Answer, Readings, short
from stream.monitor.sources.processes import Process, by_label, newest, quantiles, rate, total
from stream.pipeline.ledger import Outcome

HOPS = (("to_kafka", "Postgres to Kafka"), ("to_worker", "Kafka to worker"), ("to_clickhouse", "worker to ClickHouse"))


def state(readings: Readings, found: list[Finding], head: Headline, fresh: Freshness) -> dict[str, Any]:
    """The whole document; docs/reference/metrics.md names the figures' meaning."""
    workers = [p for p in readings.processes if p.document is not None and p.document.role == "worker"]
    return {
        "now": readings.now,
        "started": readings.started,
        "name": readings.installation,
        "group": readings.group,
        "installation": installation(
            readings.kafka.value.cluster if readings.kafka.value is not None else None,
            source=readings.source,
            clickhouse=readings.clickhouse,
        ),
        "target_s": readings.limits.target_s,
        "headline": asdict(head),
        "findings": [asdict(each) for each in found],
        "freshness": {"seconds": fresh.seconds, "since": fresh.since, "by": fresh.by},
        "topics": _topics(readings),
        "partitions": [partition(tp, lag) for tp, lag in sorted(readings.partitions.items())],
        "members": _members(readings),
        "hops": _hops(workers),
        "canary": dict(state_of(readings.canary)),
        "slot": _source(readings.slot) | {"name": readings.slot_name},
        "connect": _connect(readings),
        "shards": [_shard(shard) for shard in readings.shards],
        "dead_letters": _dead_letters(readings),
        "ledger": _ledger(workers),
        "replays": [asdict(each) for each in readings.replays],
        "verify": _verify(readings.processes),
        "customers": None if readings.customers is None else readings.customers.as_json(),
        "processes": [_process(each) for each in readings.processes],
        "sources": [
            {"name": s.name, "ok": s.ok, "at": s.at, "error": s.error, "since": s.error_since}
            for s in _sources(readings)
        ],
    }


def installation(cluster: str | None, *, source: str, clickhouse: str) -> dict[str, str | None]:
    """The identity of an installation: the brokers' cluster id and the names of the databases."""
    return {"cluster": cluster, "source": source, "clickhouse": clickhouse}


def _sources(readings: Readings) -> list[Answer[Any]]:
    return [readings.kafka, readings.slot, readings.connect, *readings.shards]


def partition(tp: TP, lag: PartitionLag) -> dict[str, Any]:
    """A row of the partition table."""
    return {
        "topic": tp.topic,
        "short": short(tp.topic),
        "partition": tp.partition,
        "start": lag.start,
        "end": lag.end,
        "committed": lag.committed,
        "messages": lag.messages,
        "seconds": lag.seconds,
        "next_at": lag.next_at,
        "rewound": lag.rewound,
        "lost": lag.lost,
        "velocity": lag.velocity,
        "drain_s": lag.drain_s,
        "consumed_per_s": lag.consumed_per_s,
        "produced_per_s": lag.produced_per_s,
        "verdict": lag.verdict.value,
        "since": lag.since,
        "holder": lag.holder,
    }


def _topics(readings: Readings) -> list[dict[str, Any]]:
    by_topic: dict[str, list[PartitionLag]] = {}
    for tp, lag in readings.partitions.items():
        by_topic.setdefault(tp.topic, []).append(lag)
    retention = readings.kafka.value.retention if readings.kafka.value is not None else {}
    found = []
    for topic, lags in sorted(by_topic.items()):
        seconds = [lag.seconds for lag in lags if lag.seconds is not None]
        drains = [lag.drain_s for lag in lags if lag.messages or lag.rewound]
        worst = max((lag.verdict for lag in lags), key=lambda verdict: SEVERITY[verdict])
        kept = retention.get(topic)
        found.append(
            {
                "topic": topic,
                "short": short(topic),
                "partitions": len(lags),
                "behind": sum(lag.messages > 0 for lag in lags),
                "messages": sum(lag.messages for lag in lags),
                "seconds": max(seconds, default=None),
                "next_at": min((lag.next_at for lag in lags if lag.next_at is not None), default=None),
                "rewound": sum(lag.rewound for lag in lags),
                "consumed_per_s": _sum([lag.consumed_per_s for lag in lags]),
                "produced_per_s": _sum([lag.produced_per_s for lag in lags]),
                "velocity": _sum([lag.velocity for lag in lags]),
                "drain_s": None if None in drains else max((d for d in drains if d is not None), default=0.0),
                "verdict": worst.value,
                "verdicts": {v.value: n for v in Verdict if (n := sum(lag.verdict is v for lag in lags))},
                "retention_s": kept.seconds if kept is not None else None,
            }
        )
    return found


def _members(readings: Readings) -> dict[str, Any]:
    kafka = readings.kafka.value
    if kafka is None:
        return {"state": None, "members": []}
    return {
        "state": kafka.group.state,
        "members": [
            {"client_id": m.client_id, "host": m.host, "partitions": len(m.partitions)} for m in kafka.group.members
        ],
    }


def _hops(workers: list[Process]) -> dict[str, Any]:
    found: dict[str, Any] = {"end_to_end": _pair(quantiles(workers, "scorestream_end_to_end_seconds", mode="live"))}
    for hop, _ in HOPS:
        found[hop] = _pair(quantiles(workers, "scorestream_hop_seconds", mode="live", hop=hop))
    return found


def _ledger(workers: list[Process]) -> dict[str, Any]:
    name = "scorestream_messages_outcome_total"
    return {
        "consumed": total(workers, "scorestream_messages_consumed_total"),
        "consumed_per_s": rate(workers, "scorestream_messages_consumed_total"),
        "rows_per_s": rate(workers, "scorestream_rows_written_total"),
        "outcomes": {outcome.value: total(workers, name, outcome=outcome.value) for outcome in Outcome},
        "per_s": {outcome.value: rate(workers, name, outcome=outcome.value) for outcome in Outcome},
        "retries": by_label(workers, "scorestream_retries_total", "error"),
        "rebalances": total(workers, "scorestream_rebalances_total"),
    }


def _connect(readings: Readings) -> dict[str, Any]:
    found = _source(readings.connect) | {"name": readings.connector}
    if (status := readings.connect.value) is not None:
        found |= {
            "running": status.running,
            "tasks": [{"id": t.id, "state": t.state, "worker": t.worker, "cause": t.cause} for t in status.tasks],
            "failures": list(status.failures),
        }
        found.pop("trace", None)
    return found


def _shard(source: Answer[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": source.name, "ok": source.ok, "error": source.error, "since": source.error_since}
    if source.value is not None:
        found["parts"] = {table: {"total": p.total, "most": p.most} for table, p in source.value.parts.items()}
    return found


def _dead_letters(readings: Readings) -> dict[str, Any] | None:
    kafka = readings.kafka.value
    if kafka is None or kafka.dead_letters is None:
        return None
    return asdict(kafka.dead_letters) | {
        "by_reason": by_label(readings.processes, "scorestream_dead_letters_total", "reason")
    }


def _verify(processes: tuple[Process, ...]) -> dict[str, Any] | None:
    if not (ran := newest(processes, "scorestream_verify_last_run_timestamp_seconds")):
        return None
    return {
        "last_run": ran,
        "last_clean": newest(processes, "scorestream_verify_last_clean_timestamp_seconds") or None,
        "cells": by_label(processes, "scorestream_verify_cells", "result"),
        "appeals": total(processes, "scorestream_verify_visible_appeals"),
    }


def _process(process: Process) -> dict[str, Any]:
    document = process.document
    assert document is not None
    return {
        "url": process.url,
        "up": process.up,
        "error": process.error,
        "since": process.silent_since,
        "role": document.role,
        "host": document.host,
        "pid": document.pid,
        "started": document.started,
        "partitions": len(document.partitions),
        "rss_bytes": total([process], "process_resident_memory_bytes"),
        "cpu_per_s": rate([process], "process_cpu_seconds_total"),
        "problems": document.problems[:3],
    }


def _source(source: Answer[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"ok": source.ok, "error": source.error, "since": source.error_since, "there": False}
    if source.value is not None:
        found |= asdict(source.value) | {"there": True}
    return found


def _pair(values: list[float] | None) -> dict[str, float] | None:
    return None if values is None else {"p50": values[0], "p99": values[1]}


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
