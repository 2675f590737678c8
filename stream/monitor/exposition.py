"""The monitor's readings in Prometheus' text format, made at each scrape. Names and meanings: stream/metrics.py.

An unknown value is absent, never 0 and never NaN. This module writes the text itself. For a thousand samples every 2 s
the client library took a third of the monitor's CPU. It checks and escapes every label of every sample each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from stream.metrics import MONITORED, OF_A_FLEET, Declared
from stream.monitor.diagnosis import freshness
from stream.monitor.lag import SEVERITY
from stream.monitor.readings import Readings

Sample = tuple[str, tuple[str, ...], float | None]

_OLD_S = 30.0
_LABELS = {each.name: ("installation", *each.labels) for each in (*MONITORED, *OF_A_FLEET)}


def exposition(readings: Readings) -> bytes:
    """All samples whose value is known, by metric, each with its help."""
    own = readings.installation
    return text_of(MONITORED, ((name, (own, *labels), value) for name, labels, value in samples(readings)))


def text_of(declared: Sequence[Declared], found: Iterable[Sample]) -> bytes:
    """Gauges in Prometheus' text format; the first label of each sample is the installation."""
    lines: dict[str, list[str]] = {each.name: [] for each in declared}
    for name, labels, value in found:
        if value is not None:
            lines[name].append(f"{_series(name, labels)} {float(value)}\n")
    text = [
        f"# HELP {each.name} {each.help}\n# TYPE {each.name} gauge\n{''.join(lines[each.name])}"
        for each in declared
        if lines[each.name]
    ]
    return "".join(text).encode()


@lru_cache(maxsize=100_000)
def _series(name: str, values: tuple[str, ...]) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(_LABELS[name], values, strict=True))
    return f"{name}{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def samples(r: Readings) -> Iterator[Sample]:
    """All samples: (metric, label values, value)."""
    yield "scorestream_freshness_seconds", (), freshness(r).seconds
    yield "scorestream_freshness_target_seconds", (), r.limits.target_s
    for source in (r.kafka, r.slot, r.connect):
        if source.at is not None or source.error is not None:
            yield "scorestream_source_up", (source.name,), float(source.ok)
    yield from _partitions(r)
    yield from _outside(r)
    for process in r.processes:
        if process.document is not None and not process.left:
            yield "scorestream_process_up", (process.document.role, process.url), float(process.up)
    late = r.customers.rows if r.customers is not None and r.now - r.customers.at < _OLD_S else ()
    for customer in late[: r.customer_metrics]:
        yield "scorestream_customer_lag_seconds", (customer.customer,), customer.seconds
    for replay in r.replays:
        yield "scorestream_replay_total_messages", (replay.name,), replay.total
        yield "scorestream_replay_done_messages", (replay.name,), replay.done
        yield "scorestream_replay_messages_per_second", (replay.name,), replay.per_s
        yield "scorestream_replay_eta_seconds", (replay.name,), replay.eta_s
        yield "scorestream_replay_running", (replay.name,), float(replay.state == "running")
        unfinished = replay.state in ("running", "stopped", "failed")
        yield "scorestream_replay_unfinished", (replay.name,), float(unfinished)
        yield "scorestream_replay_throttled", (replay.name,), float(bool(replay.throttled_by))
    for backfill in r.backfills:
        yield "scorestream_backfill_total_rows", (backfill.name,), backfill.total
        yield "scorestream_backfill_done_rows", (backfill.name,), backfill.done
        yield "scorestream_backfill_rows_per_second", (backfill.name,), backfill.per_s
        yield "scorestream_backfill_eta_seconds", (backfill.name,), backfill.eta_s
        yield "scorestream_backfill_running", (backfill.name,), float(backfill.running)


def _partitions(r: Readings) -> Iterator[Sample]:
    kafka = r.kafka.value
    # An old answer does not count: the series end, and the alert on their absence fires.
    if kafka is None or r.kafka.at is None or r.now - r.kafka.at > _OLD_S:
        return
    sums: dict[str, int] = {}
    for tp, lag in kafka.partitions.items():
        own = (r.group, tp.topic, str(tp.partition))
        yield "scorestream_consumer_lag_messages", own, lag.messages
        yield "scorestream_consumer_lag_seconds", own, lag.seconds
        yield "scorestream_consumer_lag_velocity", own, lag.velocity
        yield "scorestream_consumer_drain_seconds", own, lag.drain_s
        yield "scorestream_consumer_rewound_messages", own, lag.rewound
        yield "scorestream_consumer_lost_messages", own, lag.lost
        yield "scorestream_consumer_verdict", own, SEVERITY[lag.verdict]
        kept = kafka.retention.get(tp.topic)
        if kept is not None and kept.seconds and lag.seconds is not None:
            yield "scorestream_consumer_retention_ratio", own, lag.seconds / kept.seconds
        yield "kafka_consumergroup_lag", own, lag.raw
        yield "kafka_consumergroup_current_offset", own, lag.committed
        yield "kafka_consumergroup_group_lag", own, lag.raw
        yield "kafka_consumergroup_group_lag_seconds", own, lag.seconds
        yield "kafka_topic_partition_current_offset", own[1:], lag.end
        yield "kafka_topic_partition_oldest_offset", own[1:], lag.start
        sums[tp.topic] = sums.get(tp.topic, 0) + lag.raw
    for topic, raw in sums.items():
        yield "kafka_consumergroup_lag_sum", (r.group, topic), raw
    yield "kafka_consumergroup_members", (r.group,), len(kafka.group.members)
    if kafka.dead_letters is not None:
        yield "scorestream_dead_letters_kept", (), kafka.dead_letters.total
        yield "scorestream_dead_letters_open", (), kafka.dead_letters.open


def _outside(r: Readings) -> Iterator[Sample]:
    if r.slot.ok:
        slot = r.slot.value
        yield "scorestream_slot_active", (r.slot_name,), float(slot is not None and slot.active)
        if slot is not None:
            yield "scorestream_slot_lag_bytes", (r.slot_name,), slot.lag_bytes
            yield "scorestream_slot_retained_bytes", (r.slot_name,), slot.retained_bytes
            yield "scorestream_slot_safe_bytes", (r.slot_name,), slot.safe_bytes
            lost = slot.wal_status == "lost" or bool(slot.invalid)
            yield "scorestream_slot_lost", (r.slot_name,), float(lost)
    if r.connect.ok:
        status = r.connect.value
        yield "scorestream_connector_running", (r.connector,), float(status is not None and status.running)
        for task in status.tasks if status is not None else ():
            yield "scorestream_connector_task_running", (r.connector, str(task.id)), float(task.state == "RUNNING")
    for number, shard in enumerate(r.shards):
        if shard.at is not None or shard.error is not None:
            yield "scorestream_clickhouse_up", (str(number),), float(shard.ok)
        for table, parts in shard.value.parts.items() if shard.ok and shard.value is not None else ():
            yield "scorestream_clickhouse_parts", (str(number), table), parts.total
            yield "scorestream_clickhouse_parts_of_fullest_partition", (str(number), table), parts.most
    if r.canary.state != "absent":
        yield "scorestream_canary_late_seconds", (), r.canary.late_s
        as_of = r.canary.as_of
        yield "scorestream_canary_age_seconds", (), None if as_of is None else max(0.0, r.now - as_of)
        yield "scorestream_canary_round_trip_seconds", (), r.canary.round_trip_s
