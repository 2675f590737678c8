"""What to do about each finding and alert: `make docs` writes docs/reference/runbooks.md; the page serves it.

Written down once, so that the page, the alerts and the document say the same, also without internet.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Runbook:
    """`id` is the finding's (stream/monitor/diagnosis.py) and the anchor of the alert's runbook_url."""

    id: str
    title: str
    meaning: str
    look: str
    act: str


RUNBOOKS = (
    Runbook("freshness", "Freshness is below what is promised",
        "For too much of the last hour (or six) changes waited longer than 5 s before they were visible.",
        "The dashboard's headline and the chart of lag in seconds: which topic, since when, moving or not.",
        "Follow the runbook of the finding that the headline names. With none: start another worker."),
    Runbook("kafka-unreachable", "Kafka does not answer",
        "The monitor gets no answer from the brokers; workers and Connect probably neither. Nothing is lost meanwhile.",
        "The brokers' processes and disks; whether SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS can be reached from here.",
        "Bring the brokers back. Connect and the workers go on by themselves where they were."),
    Runbook("postgres-unreachable", "Postgres does not answer",
        "Look-ups fail: the workers try again and commit nothing. The connector cannot read either.",
        "Postgres' log; its connections; a failover under way?",
        "Bring it back. After a failover check that the slot exists (slot-missing)."),
    Runbook("connect-unreachable", "Kafka Connect does not answer",
        "Its REST interface is away. The connector may still run; when it does not, the canary goes silent, too.",
        "The Connect process and its log.",
        "Restart Connect. It resumes from its stored offsets; Postgres keeps the WAL meanwhile."),
    Runbook("connector-missing", "The connector is not there",
        "Connect knows no connector of this name: nothing new reaches Kafka.",
        "`scorestream connectors status`; was it deleted, or is this another Connect cluster?",
        "`scorestream connectors apply`. It goes on from its offsets if they are still there."),
    Runbook("connector-failed", "The connector or its task has failed",
        "Debezium stopped with an error: nothing new reaches Kafka, and Postgres keeps WAL.",
        "`scorestream connectors status`: the cause is in the last column.",
        "Mend the cause, then `scorestream connectors restart`."),
    Runbook("connector-paused", "The connector is paused or stopped",
        "Somebody paused it. Postgres keeps the WAL until it goes on.",
        "Who did, and why; how much WAL the slot keeps.",
        "`scorestream connectors resume`."),
    Runbook("slot-missing", "The replication slot is not there",
        "Without it changes since the last confirmed position cannot be read.",
        "Was it dropped, or is this a new primary after a failover?",
        "Start the connector, which makes a slot; then `scorestream verify`, and `backfill` what is missing."),
    Runbook("slot-inactive", "The replication slot is inactive",
        "Nobody reads it, though the connector is said to run. WAL piles up in Postgres.",
        "`scorestream connectors status`; Connect's log; pg_stat_replication.",
        "`scorestream connectors restart --all`."),
    Runbook("slot-wal", "The slot's WAL is near its limit, or lost",
        "Postgres drops WAL that the slot needs once max_slot_wal_keep_size is reached; then the slot is lost.",
        "How many bytes are left, how fast WAL grows, why the connector does not confirm.",
        "Raise max_slot_wal_keep_size now, then mend the connector. Lost: new slot, then verify and backfill."),
    Runbook("shard-down", "A ClickHouse shard does not answer",
        "Batches for it are tried again; partitions stall until it is back. Nothing is committed, so nothing is lost.",
        "The shard's process, disk and log; can it be reached from the workers?",
        "Bring it back. The workers go on by themselves within seconds, or end and are restarted after 10 minutes."),
    Runbook("parts", "Too many parts",
        "Merges do not keep up with inserts. ClickHouse slows inserts down, later it refuses them.",
        "system.merges and system.parts of the shard; is a replay running at full speed?",
        "Pause or slow replays first. Give the shard time; raise SCORESTREAM_BATCH_MAX_AGE_S for larger batches."),
    Runbook("worker-absent", "No worker runs",
        "The group has no member: whatever is committed in Postgres waits in Kafka.",
        "The workers' last log lines; exit code; out of memory?",
        "Start a worker. It goes on from the committed offsets."),
    Runbook("stall", "Partitions stalled or stopped",
        "STALL: a worker holds the partition, messages wait, nothing moves. STOP: no worker holds it.",
        "Who holds it and its last error (dashboard); are Postgres and all shards there?",
        "Restart the worker that holds it: the others take over. Before that, `kill -QUIT PID` writes to its log where "
        "every thread hangs."),
    Runbook("process-silent", "A process does not answer",
        "A worker's web server is away: the process is gone, or it hangs, or the network is cut.",
        "The process on that host, its log, its exit code.",
        "Restart it. Others take its partitions over once the group's session has timed out."),
    Runbook("lag-growing", "Late, and not catching up",
        "The workers do the work, slower than it comes in.",
        "Stage durations (look_up, write), CPU of the workers, parts in ClickHouse, a replay beside.",
        "Start more workers, up to the number of partitions; slow replays down."),
    Runbook("retention", "Lag is near the log's retention, or beyond",
        "What waits will leave the log, or has left it, before it is indexed.",
        "Share of the retention by partition; time to drain.",
        "Raise the topic's retention now, then mend what stalls. What is lost: `scorestream backfill`, then verify."),
    Runbook("rewind", "Rewound",
        "The group's committed offsets were moved back: messages are processed again, which does no harm.",
        "Who did (`scorestream rewind`).",
        "Nothing. It ends by itself."),
    Runbook("offset-ahead", "Committed offsets lie behind the log's end",
        "The group has committed an offset that the log does not have. The topic was deleted and created again, or the "
        "brokers lost the log's end (unclean leader election, restored disk). Messages before it may be skipped.",
        "`scorestream lag`: committed and end. Kafka's log: was the topic created again, or a leader lost messages?",
        "A running worker reads such a log from its start within seconds. With the workers stopped: "
        "`scorestream rewind --to-earliest --execute`, start them, then `scorestream verify --repair`."),
    Runbook("canary", "The canary is late or silent",
        "A heartbeat from Postgres does not arrive in ClickHouse, or none is written, and no other finding says why.",
        "Each hop: the row app.scorestream_heartbeat, its topic, the worker's log (heartbeat not written), the table.",
        "Silent: `scorestream connectors restart --all`. Late: restart the worker."),
    Runbook("dead-letters", "New dead letters",
        "Messages were refused and kept whole; the others went on.",
        "`scorestream dead-letters list`: reasons and errors.",
        "Mend the cause, then `scorestream dead-letters redrive`. Order is safe: newer rows stand."),
    Runbook("ledger", "The ledger does not balance",
        "Messages were consumed of which nobody can say what became. That is a fault of the program.",
        "The worker's log around the time; the topic and partition.",
        "`scorestream verify --repair`, and report it with the log."),
    Runbook("verify", "Verify found differences",
        "ClickHouse differs from Postgres where it should not, or an appeal is visible.",
        "`scorestream verify`, and `scorestream explain` for one of the ids.",
        "`scorestream verify --repair`; for appeals of an earlier indexer `scorestream purge`."),
    Runbook("replay-stuck", "A replay is stuck or has failed",
        "It is wanted, not done, and does not move. Live is not touched by it.",
        "`scorestream replay status NAME`: processes, throttled by what, error.",
        "`scorestream replay resume NAME`, or join with another process; `cancel` when it is not wanted any more."),
    Runbook("monitor-absent", "The monitor does not answer",
        "Nobody measures: silence is not freshness.",
        "The process `scorestream monitor` and its /readyz.",
        "Restart it. It has no state that matters."),
)  # fmt: skip


def markdown() -> str:
    """The text of docs/reference/runbooks.md."""
    lines = [
        "# Runbooks",
        "",
        "The dashboard serves the same pages at `/runbooks`.",
        "",
    ]
    for each in RUNBOOKS:
        lines += [f"## {each.id}", "", f"**{each.title}.** {each.meaning}", ""]
        lines += [f"- First look: {each.look}", f"- First action: {each.act}", ""]
    return "\n".join(lines)


def page() -> str:
    """The HTML page at /runbooks."""
    body = "".join(
        f'<section id="{each.id}"><h2>{escape(each.title)}</h2><p>{escape(each.meaning)}</p>'
        f"<p><b>First look:</b> {escape(each.look)}</p><p><b>First action:</b> {escape(each.act)}</p></section>"
        for each in RUNBOOKS
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>scorestream runbooks</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><link rel="stylesheet" href="dashboard.css"></head><body><main class="runbooks">'
        f'<p><a href="./">Dashboard</a></p><h1>Runbooks</h1>{body}</main></body></html>'
    )
