"""What to do about each finding and alert (stream/web/runbook_page.py shows it).

The texts stand here once. So the page, the alerts and the document say the same, also without a network. The names in
the commands and queries are those of the default settings.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Runbook:
    """One page. `id` is the finding's (stream/monitor/faults.py) and the anchor of the alert's link.

    `look` and `act` are a sentence each. `look_at` and `run` are lines to paste. A line that starts with a capital
    letter is SQL, any other one is for a shell.
    """

    id: str
    title: str
    meaning: str
    lost: str
    look: str
    act: str
    time: str
    call: str
    look_at: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


_SLOT = (
    "SELECT slot_name, active, wal_status, safe_wal_size, restart_lsn, confirmed_flush_lsn FROM pg_replication_slots"
    " WHERE slot_name = 'scorestream';"
)
_WALSENDERS = "SELECT pid, application_name, state, sent_lsn, reply_time FROM pg_stat_replication;"
_PARTS = (
    "SELECT table, partition, count() AS parts FROM system.parts WHERE database = 'scorestream' AND active"
    " GROUP BY ALL ORDER BY parts DESC LIMIT 10;"
)
_RECOVER = ("scorestream recover --dry-run", "scorestream recover")
_NOT_LOST = "No."

RUNBOOKS = (
    Runbook("freshness", "Freshness is below the target",
        "For too much of the last hour (or of the last six), changes waited longer than SCORESTREAM_MONITOR_TARGET_S "
        "before readers saw them.",
        _NOT_LOST,
        "Read the dashboard's headline and the chart of lag in seconds: which topic, since when, moving or not.",
        "Follow the runbook of the finding that the headline names. With no finding, start another worker.",
        "The alert ends up to an hour after the cause is gone, or up to six for the slower of the two.",
        "The service's owner, when the budget of the month is at risk.",
        look_at=("scorestream lag",)),
    Runbook("kafka-unreachable", "Kafka does not answer",
        "The monitor gets no answer from the brokers. Workers and Connect probably get none either.",
        "No. Postgres keeps the WAL, and Kafka keeps what it has.",
        "Check the brokers' processes and disks, and whether this host reaches SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS.",
        "Bring the brokers back. Connect and the workers go on where they were.",
        "Seconds after the brokers answer; 25 s more when Connect had a transaction open.",
        "The Kafka team at once. The database team too, when WAL grows for longer than an hour.",
        look_at=("scorestream topics list", _SLOT)),
    Runbook("postgres-unreachable", "Postgres does not answer",
        "Look-ups fail: the workers try again and commit nothing. The connector cannot read either.",
        "No, unless a fail over dropped the slot, or promoted a standby that lacked commits.",
        "Read Postgres' log, count its connections, and ask whether a fail over is under way.",
        "Bring Postgres back. After a fail over, recover: the command finds what the slot and the offsets lack, and "
        "compares every row.",
        "2 to 10 s after Postgres answers. After a fail over: 15 s until changes flow, then the comparison.",
        "The database team at once.",
        look_at=(_SLOT,), run=_RECOVER),
    Runbook("connect-unreachable", "Kafka Connect does not answer",
        "Its REST interface is away. The connector may still run; when it does not, the canary goes silent, too.",
        "No. Postgres keeps the WAL meanwhile.",
        "Check the Connect process and its log.",
        "Restart Connect. The connector resumes from its stored offsets. Compare afterwards.",
        "10 s, up to 35 s when Connect died within a transaction, 5 minutes with several Connect workers and Kafka's "
        "default delay.",
        "The Kafka team, when Connect does not start.",
        look_at=("scorestream connectors status",), run=("scorestream verify",)),
    Runbook("connector-missing", "The connector does not exist",
        "Connect knows no connector of this name: no change reaches Kafka.",
        "No, while the slot exists: the connector goes on where the slot stands.",
        "Ask who deleted the connector, and whether this is the right Connect cluster.",
        "Recover. It creates the connector with its offsets, or at the slot's place where they are gone, and compares.",
        "15 s until changes flow, then the comparison: 12 s for 5 million scores.",
        "The team that owns Connect, when nobody here deleted it.",
        look_at=("scorestream doctor", "scorestream connectors status", _SLOT), run=_RECOVER),
    Runbook("connector-failed", "The connector or its task has failed",
        "Debezium stopped with an error. No change reaches Kafka, and Postgres keeps the WAL.",
        "No, while the slot exists. Where the cause is a lost slot, changes are in no message; Postgres has the rows.",
        "Read the cause in the last column of the status, and what the doctor says of it. A cause outside of slot and "
        "offsets comes first: a full disk, or a value at which Debezium fails.",
        "Recover. It replaces a slot or an offset that cannot be used, restarts what failed, and compares every row.",
        "15 s until changes flow, then the comparison: 12 s for 5 million scores.",
        "The database team, when the cause is in Postgres. The Connect team, when the same cause comes back.",
        look_at=("scorestream doctor", "scorestream connectors status", _SLOT), run=_RECOVER),
    Runbook("connector-paused", "The connector is paused or stopped",
        "An operator paused it. Postgres keeps the WAL until it goes on.",
        "No, while the slot's WAL stays below max_slot_wal_keep_size.",
        "Ask who paused it and why, and look at how much WAL the slot keeps.",
        "Resume it. Where the slot was lost meanwhile, the command says so, recovers, and compares every row.",
        "10 s, then the backlog.",
        "Nobody, when the pause is planned.",
        look_at=(_SLOT,), run=("scorestream connectors resume",)),
    Runbook("slot-missing", "The replication slot does not exist",
        "A fail over or an operator removed it. The connector has an offset without a slot, and fails when it starts.",
        "Changes since the last confirmed position are in no message. Postgres has the rows: the comparison makes "
        "ClickHouse equal to it, deletes and appeals included.",
        "Ask whether the slot was dropped, or whether this is a new primary after a fail over.",
        "Recover. It makes the slot, lets the connector begin there, and compares and repairs every row. Readers keep "
        "what is right meanwhile. `scorestream connectors resume` does the same.",
        "15 s until changes flow, more while a long transaction is open, then the comparison: 12 s for 5 million "
        "scores.",
        "The database team, when nobody knows who removed it.",
        look_at=(_SLOT, "scorestream connectors status"), run=_RECOVER),
    Runbook("slot-inactive", "The replication slot is inactive",
        "No process reads the slot, though the connector is said to run. WAL piles up in Postgres.",
        "No, while the slot's WAL stays below max_slot_wal_keep_size.",
        "Compare the connector's state with Postgres' list of walsenders, and read Connect's log.",
        "Restart the connector and all tasks.",
        "10 s, up to 35 s.",
        "The database team, when WAL threatens the disk.",
        look_at=("scorestream connectors status", _WALSENDERS, _SLOT), run=("scorestream connectors restart --all",)),
    Runbook("slot-wal", "The slot's WAL is near its limit, or lost",
        "Postgres removes WAL that the slot needs once max_slot_wal_keep_size is reached. Then the slot is lost.",
        "Not before wal_status is lost. Then as in slot-missing.",
        "Look at how many bytes are left (safe_wal_size), and why the connector does not confirm.",
        "Raise max_slot_wal_keep_size now, then correct what stops the connector. When wal_status is lost, "
        "recover: it replaces the slot.",
        "The limit works at once. A new slot takes 15 s, then the comparison: 12 s for 5 million scores.",
        "The database team at once: the disk may fill.",
        look_at=(_SLOT, _WALSENDERS),
        run=("ALTER SYSTEM SET max_slot_wal_keep_size = '200GB';", "SELECT pg_reload_conf();", *_RECOVER)),
    Runbook("publication", "A table is not published",
        "The publication leaves out a source table: it was dropped from it, or another table took its name.",
        "Changes since then are not in Kafka. Postgres has the rows: a repair makes ClickHouse equal to it.",
        "Ask who changed the publication or exchanged the table, and since when.",
        "Publish the table that has the name now, and repair. `connectors apply` prints the statements.",
        "1 s, then the repair.",
        "The team that owns the tables.",
        look_at=("SELECT * FROM pg_publication_tables WHERE pubname = 'scorestream';",
                 "scorestream connectors apply --dry-run"),
        run=("ALTER TABLE app.scores REPLICA IDENTITY FULL;",
             "ALTER PUBLICATION scorestream ADD TABLE app.scores;", "scorestream verify --repair")),
    Runbook("row-policy", "A row policy hides rows",
        "A row policy filters what a user reads from the tables. What the worker cannot see it cannot retire: an "
        "appeal would stay visible. A worker that a policy filters ends and says so.",
        "No. Rows may stay visible that should not.",
        "Look at whom the policy is for. Policies for other users are harmless with the server's default "
        "(users_without_row_policies_can_read_rows).",
        "Exempt the writer, on every shard, then repair.",
        "At once.",
        "The ClickHouse team.",
        look_at=("SELECT * FROM system.row_policies WHERE database = 'scorestream';",),
        run=("ALTER ROW POLICY tenants ON scorestream.scorecard TO ALL EXCEPT scorestream_writer;",
             "scorestream verify --repair")),
    Runbook("shard-down", "A ClickHouse shard does not answer",
        "The workers retry batches for it, and partitions stall until it is back. They commit nothing.",
        "No.",
        "Check the shard's process, disk and log, and whether the workers reach it.",
        "Bring the shard back. The workers go on by themselves, or end after 10 minutes and are started again.",
        "1 to 7 s after the shard answers.",
        "The ClickHouse team at once.",
        look_at=("scorestream schema status",)),
    Runbook("parts", "Too many parts",
        "Merges do not keep up with inserts. ClickHouse slows inserts down, and refuses them later.",
        "No. A refused insert is tried again.",
        "Look at the fullest partition, at running merges, and at replays.",
        "Pause replays first and give the shard time. Then raise SCORESTREAM_BATCH_MAX_AGE_S for larger batches.",
        "Minutes.",
        "The ClickHouse team, when parts grow without a replay.",
        look_at=(_PARTS, "SELECT table, elapsed, progress, num_parts FROM system.merges;", "scorestream replay list"),
        run=("scorestream replay pause NAME",)),
    Runbook("worker-absent", "No worker runs",
        "The group has no member. All new commits of Postgres wait in Kafka.",
        "No, until the wait nears the log's retention.",
        "Read the workers' last log lines and their exit code: 2 is configuration, 137 out of memory.",
        "Start a worker. It goes on from the committed offsets.",
        "2 to 3 s, then the backlog at about 75,000 messages/s.",
        "The service's owner, when the worker ends again.",
        look_at=("scorestream lag --all",), run=("scorestream worker --restart",)),
    Runbook("stall", "Partitions stalled or stopped",
        "STALL: a worker holds the partition, messages wait, nothing moves. STOP: no worker holds it.",
        "No.",
        "Look at who holds the partition and at its last error. Check that Postgres and all shards answer.",
        "STOP ends by itself within 20 s after a worker was killed. STALL: restart the worker that holds the "
        "partition; the others take over. Before that, `kill -QUIT PID` writes to its log where each thread hangs.",
        "20 s after a kill. The watchdog acts after SCORESTREAM_WATCHDOG_STALL_S (120 s).",
        "The service's owner, with the worker's log, when a restart does not help.",
        look_at=("scorestream lag", "scorestream dead-letters list")),
    Runbook("process-silent", "A process does not answer",
        "A worker's web server is away: the process is gone, or it hangs, or the network is cut.",
        "No.",
        "Check the process on that host, its log and its exit code.",
        "Restart it. Others take its partitions over once the group's session has timed out.",
        "20 s.",
        "The host's team, when the host is gone.",
        look_at=("scorestream lag --all",)),
    Runbook("lag-growing", "Late, and not catching up",
        "The workers work, but changes come faster.",
        "No, until the wait nears the log's retention.",
        "Look at the stage durations on the dashboard (look_up, write), the workers' CPU, parts, and replays.",
        "Pause replays. Start more workers, up to the number of partitions.",
        "The drain time that the dashboard shows.",
        "The service's owner, when more workers do not help.",
        look_at=("scorestream lag", _PARTS, "scorestream replay list"), run=("scorestream worker --restart",)),
    Runbook("retention", "Lag is near the log's retention, or beyond",
        "Messages that wait will leave the log, or have left it, before a worker indexes them. Compaction may have "
        "removed changes of place.",
        "Perhaps in Kafka, never in Postgres: the repair finds every difference.",
        "Look at the share of the retention by partition, and at the time to drain.",
        "Raise the topics' min.compaction.lag.ms now, then correct what stalls. Once the lag is "
        "gone, a worker that was started behind it repairs by itself; its log says `outage`. Else repair.",
        "The drain time, then the repair.",
        "The Kafka team, for the topics' configuration.",
        look_at=("scorestream lag --all",), run=("scorestream verify --repair",)),
    Runbook("rewind", "The group was rewound",
        "The group's committed offsets were moved back. The workers process messages again, which changes no row.",
        "No.",
        "Ask who ran `scorestream rewind`.",
        "Nothing. It ends by itself.",
        "The drain time that the dashboard shows.",
        "Nobody.",
        look_at=("scorestream lag",)),
    Runbook("offset-ahead", "Committed offsets lie behind the log's end",
        "The group has committed an offset that the log does not have. The topic was deleted and created again, or the "
        "brokers lost the log's end (unclean leader election, restored disk).",
        "Perhaps in Kafka, never in Postgres: the repair finds every difference.",
        "Compare committed and end. Ask whether the topic was created again, or whether a leader lost messages.",
        "A running worker reads such a log from its start within seconds. Otherwise stop the workers, rewind, and "
        "start them. Then recover: it creates a topic that is gone, and repairs what its messages would have changed.",
        "Seconds, then the backlog.",
        "The Kafka team, when nobody re-created the topic.",
        look_at=("scorestream lag --all",),
        run=("scorestream rewind --to-earliest --yes", "scorestream worker --restart", "scorestream recover")),
    Runbook("canary", "The canary is late or silent",
        "A heartbeat from Postgres does not arrive in ClickHouse, or the connector writes none, and no other finding "
        "says why.",
        "No, while the slot exists.",
        "Check each hop: the row in Postgres, the connector, the worker's log (heartbeat not written), the table.",
        "Silent: restart the connector and all tasks; a race in Kafka's producer can stop it while it says RUNNING. "
        "Late: restart the worker.",
        "10 s.",
        "The Kafka team, when a restart does not help.",
        look_at=("SELECT id, beat, at, now() - at AS age FROM app.scorestream_heartbeat;", _SLOT,
                 "scorestream connectors status"),
        run=("scorestream connectors restart --all",)),
    Runbook("dead-letters", "New dead letters",
        "The pipeline refused messages and kept them whole. The other messages went on.",
        "No. Rows of these messages are missing or old until the cause is corrected.",
        "Read the reasons and errors.",
        "Correct the cause, usually a value in Postgres. Redrive: it reindexes the rows from Postgres. Ack the rest.",
        "Seconds after the correction.",
        "The team that writes these rows.",
        look_at=("scorestream dead-letters list", "scorestream dead-letters show OFFSET"),
        run=("scorestream dead-letters redrive --dry-run", "scorestream dead-letters redrive",
             "scorestream dead-letters ack --offset OFFSET")),
    Runbook("late-messages", "Many messages are out of order",
        "Messages older than one before them, or newer than Postgres' WAL. Each costs a reindex of its scorecard.",
        "No. Readers see what Postgres has. The worker is slower.",
        "The worker's log counts them as late or ahead. Ask who else produces, and whether Postgres failed over.",
        "Stop a tool that copies messages. After a fail over, recover: it moves the WAL past what was lost.",
        "It ends once they are processed. After a fail over: when the WAL has passed the lost changes.",
        "The Kafka team, or after a fail over the database team.", ("scorestream doctor",), _RECOVER),
    Runbook("ledger", "The ledger does not balance",
        "The outcomes of a batch do not add up to its messages. That is a fault of the program.",
        "Perhaps. The repair finds it.",
        "Read the worker's log around that time, and note topic and partition.",
        "Compare and repair, then report the fault with the log.",
        "As long as a verify: 12 s for 5 million scores.",
        "The developers.",
        run=("scorestream verify --repair",)),
    Runbook("verify", "Verify found differences",
        "ClickHouse differs from Postgres where it should not, or an appeal is visible.",
        "No. Postgres has the right rows; readers see wrong ones until the repair.",
        "Look at the findings, then ask for the reason of one id.",
        "Repair. For appeals that an earlier indexer left, purge.",
        "As long as a verify, at most three rounds.",
        "The owner of the data at once, when an appeal is visible. The developers, when differences return.",
        look_at=("scorestream verify --report", "scorestream explain ID"),
        run=("scorestream verify --repair", "scorestream purge appeals --dry-run")),
    Runbook("replay-stuck", "A replay is stuck or has failed",
        "The replay is unfinished and does not move. Live is not affected.",
        "No.",
        "Look at its processes, what throttles it (throttled_by), and its error.",
        "Resume it, or add a process; cancel it when nobody needs it any more.",
        "Seconds.",
        "The operator who started it.",
        look_at=("scorestream replay status NAME",),
        run=("scorestream replay resume NAME", "scorestream replay join NAME", "scorestream replay cancel NAME")),
    Runbook("monitor-absent", "The monitor does not answer",
        "No process measures the lag: silence is not freshness.",
        "No.",
        "Check the process `scorestream monitor` and its /readyz. Ask for the lag directly.",
        "Restart it. It keeps no state that matters.",
        "Seconds.",
        "The service's owner, when it ends again.",
        look_at=("scorestream lag --no-monitor",), run=("scorestream monitor",)),
)  # fmt: skip
