"""Every metric of the package, declared in one place. Labels have few values: no ids, and customers only on demand.

`mode` is live or replay, so a replay never makes the live flow look late.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_LATENCY_S = (0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
_STAGE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

CONSUMED = Counter(
    "scorestream_messages_consumed",
    "Messages taken from Kafka whose batch is finished. Equals the sum of scorestream_messages_outcome.",
    ["mode", "topic"],
    registry=REGISTRY,
)
OUTCOME = Counter(
    "scorestream_messages_outcome",
    "Messages by outcome: the ledger. Every message has exactly one outcome.",
    ["mode", "topic", "outcome"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "scorestream_dead_letters",
    "Messages that were refused and kept whole in the dead-letter topic, by reason.",
    ["mode", "topic", "reason"],
    registry=REGISTRY,
)
ROWS = Counter(
    "scorestream_rows_written",
    "Rows, delete markers included, that ClickHouse acknowledged.",
    ["mode", "topic"],
    registry=REGISTRY,
)
REINDEXED = Counter(
    "scorestream_scorecards_reindexed",
    "Scorecards read again from Postgres with their scores, because their place changed.",
    ["mode", "topic"],
    registry=REGISTRY,
)
ASIDE = Gauge(
    "scorestream_reindex_aside_scorecards",
    "Scorecards whose large reindex goes on beside the batches, or waits for its turn. Offsets of the messages that "
    "asked for it are not committed meanwhile.",
    ["topic"],
    registry=REGISTRY,
)
MOVED = Counter(
    "scorestream_scorecards_moved_in_flight",
    "Scorecards whose place changed between look-up and confirm; they were reindexed.",
    ["mode", "topic"],
    registry=REGISTRY,
)
LATE = Counter(
    "scorestream_messages_late",
    "Messages older than one before them in their partition: copies. Their scorecards were reindexed instead.",
    ["mode", "topic"],
    registry=REGISTRY,
)
AHEAD = Counter(
    "scorestream_messages_ahead",
    "Messages newer than anything in Postgres' WAL: not Debezium's, or of commits that a fail over lost. Their "
    "scorecards were reindexed instead.",
    ["mode", "topic"],
    registry=REGISTRY,
)
BATCH_MESSAGES = Histogram(
    "scorestream_batch_messages",
    "Messages in a batch.",
    ["mode", "topic"],
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000),
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "scorestream_batch_stage_seconds",
    "Time that a batch spent in a stage: decode, look_up, plan, write, confirm, close.",
    ["mode", "topic", "stage"],
    buckets=_STAGE_S,
    registry=REGISTRY,
)
END_TO_END_SECONDS = Histogram(
    "scorestream_end_to_end_seconds",
    "From the commit in Postgres to ClickHouse's acknowledgement (and confirm), for each change.",
    ["mode", "topic"],
    buckets=_LATENCY_S,
    registry=REGISTRY,
)
RETRIES = Counter(
    "scorestream_retries",
    "Steps that failed and were tried again, by error (see stream/errors.py).",
    ["mode", "error"],
    registry=REGISTRY,
)
REBALANCES = Counter(
    "scorestream_rebalances",
    "Times that this worker's partitions changed.",
    ["mode"],
    registry=REGISTRY,
)
ASSIGNED = Gauge(
    "scorestream_assigned_partitions",
    "Partitions that this worker owns now.",
    ["topic"],
    registry=REGISTRY,
)
LAST_PROGRESS = Gauge(
    "scorestream_last_batch_timestamp_seconds",
    "When the last batch was finished (Unix time).",
    ["mode", "topic"],
    registry=REGISTRY,
)
WATCHDOG_STILL = Gauge(
    "scorestream_watchdog_still_seconds",
    "Longest time that a partition of this worker has not moved although messages wait; the limit ends the worker.",
    registry=REGISTRY,
)
WATCHDOG_WAITING = Gauge(
    "scorestream_watchdog_waiting_messages",
    "Offsets of this worker's partitions not committed yet, as the brokers say; transaction markers count.",
    registry=REGISTRY,
)
WATCHDOG_LOOKS = Counter(
    "scorestream_watchdog_looks",
    "Looks of the watchdog by result: ok, unknown (no broker answers), failed, stalled.",
    ["result"],
    registry=REGISTRY,
)
HEARTBEATS = Counter(
    "scorestream_heartbeat_writes",
    "Heartbeats that this worker carried to a shard, by result: written, failed. They are the canary: see "
    "scorestream_canary_late_seconds.",
    ["shard", "result"],
    registry=REGISTRY,
)

VERIFY_CELLS = Gauge(
    "scorestream_verify_cells",
    "Cells (customer, day, kind, table) of the last comparison, by result: clean, different.",
    ["result"],
    registry=REGISTRY,
)
VERIFY_ROWS = Gauge(
    "scorestream_verify_rows",
    "Rows that the last comparison found wrong, by finding: missing, extra, stale, not_comparable (scorecards).",
    ["finding"],
    registry=REGISTRY,
)
VERIFY_APPEALS = Gauge(
    "scorestream_verify_visible_appeals",
    "Scorecards and scores of appeals that ClickHouse showed at the last comparison. Must be 0.",
    registry=REGISTRY,
)
OUTAGE_SINCE = Gauge(
    "scorestream_outage_since_timestamp_seconds",
    "Time of the oldest message that waited for longer than the compaction lag (Unix time); 0 when all is repaired.",
    registry=REGISTRY,
)
VERIFY_LAST_RUN = Gauge(
    "scorestream_verify_last_run_timestamp_seconds",
    "When the last comparison ended (Unix time).",
    registry=REGISTRY,
)
VERIFY_LAST_CLEAN = Gauge(
    "scorestream_verify_last_clean_timestamp_seconds",
    "When the last comparison ended that found nothing wrong (Unix time); its age is what to alert on.",
    registry=REGISTRY,
)
VERIFY_SECONDS = Gauge(
    "scorestream_verify_seconds",
    "How long the last comparison took.",
    registry=REGISTRY,
)
VERIFY_REPAIRED = Counter(
    "scorestream_verify_repaired_scorecards",
    "Scorecards that verify --repair reindexed.",
    registry=REGISTRY,
)

HOP_SECONDS = Histogram(
    "scorestream_hop_seconds",
    "Time of a change by hop: to_kafka (Postgres commit to Kafka), to_worker (Kafka to fetched), to_clickhouse "
    "(fetched to acknowledged and confirmed).",
    ["mode", "topic", "hop"],
    buckets=_LATENCY_S,
    registry=REGISTRY,
)


class Declared(NamedTuple):
    """A gauge that the monitor computes at each scrape (stream/monitor/exposition.py)."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


_PARTITION = ("group", "topic", "partition")
MONITORED = (
    Declared(
        "scorestream_freshness_seconds", "Age of the oldest committed change that is not visible; 0 when all are."
    ),
    Declared("scorestream_source_up", "1 while kafka, postgres or connect answers the monitor.", ("source",)),
    Declared("scorestream_process_up", "1 while a worker, replay or verify answers the monitor.", ("role", "url")),
    Declared("scorestream_consumer_lag_messages", "Messages that wait and that no worker has indexed.", _PARTITION),
    Declared(
        "scorestream_freshness_target_seconds", "A change that waits longer is late: SCORESTREAM_MONITOR_TARGET_S."
    ),
    Declared(
        "scorestream_consumer_lag_seconds",
        "Age of the next message not yet indexed, from its own commit time; 0 when none waits.",
        _PARTITION,
    ),
    Declared("scorestream_consumer_lag_velocity", "Change of the lag in messages/s; negative = less.", _PARTITION),
    Declared(
        "scorestream_consumer_drain_seconds", "Time until nothing waits; absent = never at this rate.", _PARTITION
    ),
    Declared("scorestream_consumer_rewound_messages", "Messages processed again after a rewind: no lag.", _PARTITION),
    Declared("scorestream_consumer_lost_messages", "Messages that left the log before they were indexed.", _PARTITION),
    Declared("scorestream_consumer_retention_ratio", "Lag in seconds as a share of what the log keeps.", _PARTITION),
    Declared(
        "scorestream_consumer_verdict",
        "0 OK, 1 REWIND, 2 WARN, 3 STALL, 4 STOP, 5 AHEAD (stream/monitor/lag.py).",
        _PARTITION,
    ),
    Declared("scorestream_dead_letters_kept", "Messages in the dead-letter topic, also settled ones."),
    Declared("scorestream_dead_letters_open", "Dead letters that are not settled."),
    Declared("scorestream_slot_active", "1 while the connector reads the replication slot.", ("slot",)),
    Declared("scorestream_slot_lag_bytes", "WAL that the connector has not confirmed.", ("slot",)),
    Declared("scorestream_slot_retained_bytes", "WAL that Postgres keeps for the slot.", ("slot",)),
    Declared("scorestream_slot_safe_bytes", "WAL until the slot is in danger; absent without a limit.", ("slot",)),
    Declared("scorestream_slot_lost", "1 when the slot was invalidated or its WAL removed.", ("slot",)),
    Declared("scorestream_connector_running", "1 while the connector and all its tasks run.", ("connector",)),
    Declared("scorestream_connector_task_running", "1 while the task runs.", ("connector", "task")),
    Declared("scorestream_clickhouse_up", "1 while the shard answers.", ("shard",)),
    Declared("scorestream_clickhouse_parts", "Active parts of a table.", ("shard", "table")),
    Declared(
        "scorestream_clickhouse_parts_of_fullest_partition",
        "Active parts of the ClickHouse partition that has the most: ClickHouse slows inserts by this figure.",
        ("shard", "table"),
    ),
    Declared("scorestream_canary_late_seconds", "Age of the oldest heartbeat that is in Postgres and not everywhere."),
    Declared(
        "scorestream_canary_age_seconds",
        "Age of the newest heartbeat that came through, while the next is late or missing; else 0.",
    ),
    Declared("scorestream_canary_round_trip_seconds", "Time of the last heartbeat from Postgres to ClickHouse."),
    Declared(
        "scorestream_customer_lag_seconds",
        "Age of the oldest change that waits, of the customers who wait longest: "
        "SCORESTREAM_MONITOR_CUSTOMERS of them; absent below 1 s.",
        ("customer",),
    ),
    Declared("scorestream_replay_total_messages", "Messages of the replay's present pass.", ("replay",)),
    Declared("scorestream_replay_done_messages", "Messages of the present pass that are done.", ("replay",)),
    Declared("scorestream_replay_messages_per_second", "Rate of the replay, all processes together.", ("replay",)),
    Declared("scorestream_replay_eta_seconds", "Time left; absent while the replay does not move.", ("replay",)),
    Declared("scorestream_replay_running", "1 while a process works on the replay.", ("replay",)),
    Declared("scorestream_replay_unfinished", "1 while the replay is neither done nor cancelled.", ("replay",)),
    Declared("scorestream_replay_throttled", "1 while the replay slows down for live.", ("replay",)),
    Declared("scorestream_backfill_total_rows", "Rows of the backfill's plan.", ("backfill",)),
    Declared("scorestream_backfill_done_rows", "Rows of its steps that are read.", ("backfill",)),
    Declared("scorestream_backfill_rows_per_second", "Mean rate of the steps that are read.", ("backfill",)),
    Declared("scorestream_backfill_eta_seconds", "Time left at that rate; absent while none is read.", ("backfill",)),
    Declared("scorestream_backfill_running", "1 while a process works on the backfill.", ("backfill",)),
    Declared(
        "kafka_consumergroup_lag",
        "End minus committed, as kafka_exporter has it.",
        ("consumergroup", "topic", "partition"),
    ),
    Declared("kafka_consumergroup_lag_sum", "The same by topic.", ("consumergroup", "topic")),
    Declared("kafka_consumergroup_current_offset", "Committed offset.", ("consumergroup", "topic", "partition")),
    Declared("kafka_consumergroup_members", "Members of the group.", ("consumergroup",)),
    Declared("kafka_consumergroup_group_lag", "As kafka-lag-exporter has it.", _PARTITION),
    Declared("kafka_consumergroup_group_lag_seconds", "As kafka-lag-exporter has it, but exact.", _PARTITION),
    Declared("kafka_topic_partition_current_offset", "End of the partition.", ("topic", "partition")),
    Declared("kafka_topic_partition_oldest_offset", "First offset that is kept.", ("topic", "partition")),
)


# Of a monitor with SCORESTREAM_INSTALLATIONS; the label `installation` is that of the row (stream/fleet/exposition.py).
OF_A_FLEET = (
    Declared("scorestream_installation_up", "1 while the installation answers the monitor of the fleet."),
    Declared("scorestream_installation_needs_operator", "1 while it is stuck, or not known, or does not answer."),
    Declared("scorestream_installation_freshness_seconds", "Its freshness; absent while it does not answer."),
    Declared("scorestream_installation_lag_messages", "Messages that wait; absent while it does not answer."),
    Declared("scorestream_installation_workers", "Its live workers; absent while it does not answer."),
)


def record_hops(topic: str, *, mode: str, stamps: Sequence[tuple[int, int]], fetched_at: float) -> None:
    """Observe the hops of a batch that was just acknowledged.

    Args:
        stamps: of some of its messages: commit time in Postgres and Kafka's record time, Unix milliseconds.
        fetched_at: Unix seconds.
    """
    to_kafka, to_worker = HOP_SECONDS.labels(mode, topic, "to_kafka"), HOP_SECONDS.labels(mode, topic, "to_worker")
    for commit_ms, appended_ms in stamps:
        to_kafka.observe(max(0.0, (appended_ms - commit_ms) / 1000))
        to_worker.observe(max(0.0, fetched_at - appended_ms / 1000))
    HOP_SECONDS.labels(mode, topic, "to_clickhouse").observe(max(0.0, time.time() - fetched_at))
