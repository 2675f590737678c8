"""Findings: one for each fault, from the readings of every source. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from stream.connect.connector import CREATE_AGAIN, CREATE_FIRST
from stream.kafka.topic_partition import TP
from stream.monitor.canary import SILENT_S
from stream.monitor.finding import NOTE, PAGE, TICKET, Finding
from stream.monitor.lag import PartitionLag, Verdict
from stream.monitor.readings import Kafka, Readings, short
from stream.monitor.sources.processes import Process, by_label, newest, total
from stream.times import duration, size

STALE_S = 15.0  # age at which a source's last answer becomes a finding
PARTS_LIMIT = 1_000  # active parts of one ClickHouse partition, above which ClickHouse slows inserts down by default
WAL_LEAST = 1 << 30  # bytes of WAL left before the slot is in danger
SILENT_NOTE_S = 300.0  # how long a process that left in good order is mentioned
REPLAY_STUCK_S = 120.0


def _kafka(readings: Readings) -> Iterator[Finding]:
    kafka = readings.kafka
    if kafka.error is not None and kafka.error_since is not None:
        title = "Kafka does not answer"
        text = f"For {duration(readings.now - kafka.error_since)}: {kafka.error}. What is shown is older than that."
        yield Finding("kafka-unreachable", PAGE, title, text, kafka.error_since)


def _postgres(readings: Readings) -> Iterator[Finding]:
    slot = readings.slot
    if slot.error is not None and slot.error_since is not None:
        text = f"For {duration(readings.now - slot.error_since)}: {slot.error}."
        title = "Postgres does not answer in time" if slot.slow else "Postgres does not answer"
        yield Finding("postgres-unreachable", PAGE, title, text, slot.error_since)


def _connector(readings: Readings) -> Iterator[Finding]:
    name, connect = readings.connector, readings.connect
    if connect.error is not None and connect.error_since is not None:
        text = f"For {duration(readings.now - connect.error_since)}: {connect.error}. New changes may not reach Kafka."
        yield Finding("connect-unreachable", PAGE, "Kafka Connect does not answer", text, connect.error_since)
        return
    if connect.at is None:
        return
    status = connect.value
    since = readings.extra.get("connector_since")
    if status is None:
        first = readings.slot.ok and readings.slot.value is None and readings.canary.beat is None
        text = f"Kafka Connect has no connector {name}; `{CREATE_FIRST if first else CREATE_AGAIN}` creates it."
        yield Finding("connector-missing", PAGE, "The connector is not there", text, since)
    elif status.failures:
        text = f"Connector {name} has failed: {'; '.join(status.failures)[:300]}. Nothing new reaches Kafka."
        yield Finding("connector-failed", PAGE, "The connector has failed", text, since)
    elif status.state in ("PAUSED", "STOPPED"):
        text = f"Connector {name} is {status.state}: nothing new reaches Kafka until `scorestream connectors resume`."
        yield Finding("connector-paused", PAGE, f"The connector is {status.state.lower()}", text, since)
    elif not status.running:
        states = ", ".join(f"task {task.id} {task.state}" for task in status.tasks) or "no task"
        text = f"Connector {name} is {status.state} with {states}."
        yield Finding("connector-failed", TICKET, "The connector does not run", text, since)


def _slot(readings: Readings) -> Iterator[Finding]:
    source = readings.slot
    if not source.ok:
        return
    name, slot = readings.slot_name, source.value
    if slot is None:
        text = f"Postgres has no replication slot {name}: a connector that has an offset cannot go on without it."
        text += f" `{CREATE_AGAIN}` makes one." if readings.canary.beat is not None else ""
        yield Finding("slot-missing", PAGE, "The replication slot is not there", text)
        return
    if slot.invalid or slot.wal_status == "lost":
        why = slot.invalid or "its WAL was removed"
        text = f"Slot {name} is lost ({why}): changes since then never reach Kafka. `{CREATE_AGAIN}` replaces it."
        yield Finding("slot-wal", PAGE, "The replication slot is lost", text)
    elif slot.wal_status == "unreserved" or (slot.safe_bytes is not None and slot.safe_bytes < WAL_LEAST):
        left = size(max(0, slot.safe_bytes or 0))
        text = f"Slot {name} holds {size(slot.retained_bytes)} of WAL; after another {left} Postgres drops it."
        yield Finding("slot-wal", PAGE, "The slot's WAL is near its limit", text)
    if not slot.active:
        since = slot.inactive_since or readings.extra.get("slot_inactive_since")
        for_ = f" for {duration(readings.now - since)}" if since else ""
        text = f"No process reads slot {name}{for_}; Postgres keeps {size(slot.retained_bytes)} of WAL for it."
        # A connector that starts again needs a few seconds.
        if since is None or readings.now - since > readings.limits.stuck_s:
            yield Finding("slot-inactive", PAGE, "The replication slot is inactive", text, since)


def _shards(readings: Readings) -> Iterator[Finding]:
    for number, shard in enumerate(readings.shards):
        if shard.error is not None and shard.error_since is not None:
            text = f"For {duration(readings.now - shard.error_since)}: {shard.error}."
            title = f"ClickHouse shard {number} {'refuses' if 'Code: ' in shard.error else 'does not answer'}"
            yield Finding("shard-down", PAGE, title, text, shard.error_since, what=str(number))
        elif shard.value is not None:
            for table, parts in shard.value.parts.items():
                if parts.most > PARTS_LIMIT:
                    text = (
                        f"Table {table} on shard {number} has {parts.most:,} active parts in one ClickHouse partition."
                    )
                    yield Finding("parts", TICKET, "Too many parts", text, what=f"{number} {table}")


def _group(readings: Readings) -> Iterator[Finding]:
    kafka = readings.kafka.value
    if kafka is None or not readings.kafka.ok:
        return
    waiting = [(tp, lag) for tp, lag in kafka.partitions.items() if lag.messages]
    if not kafka.group.members and kafka.empty_since is not None:
        since = kafka.empty_since
        oldest = min((lag.next_at for _, lag in waiting if lag.next_at is not None), default=None)
        text = f"No worker is in group {readings.group} for {duration(readings.now - since)}"
        if waiting:
            count = sum(lag.messages for _, lag in waiting)
            age = f", the oldest for {duration(readings.now - oldest)}" if oldest else ""
            text += f"; {count:,} messages wait{age}."
        else:
            text += "; nothing waits yet."
        if last := _last_gone(readings.processes):
            text += f" {last}"
        yield Finding("worker-absent", PAGE if waiting else TICKET, "No worker runs", text, since)
    else:
        yield from _stuck(readings, waiting)
    late = [(tp, lag) for tp, lag in waiting if lag.verdict is Verdict.WARN]
    if late:
        oldest_s = max(lag.seconds or 0.0 for _, lag in late)
        text = (
            f"{_names([tp for tp, _ in late])}: what waits is {duration(oldest_s)} old and does not get less. "
            "The workers are slower than what comes in."
        )
        yield Finding("lag-growing", TICKET, "Late, and not catching up", text, min(lag.since for _, lag in late))
    rewound = [(tp, lag) for tp, lag in kafka.partitions.items() if lag.verdict is Verdict.REWIND]
    if rewound:
        count = sum(lag.rewound for _, lag in rewound)
        text = (
            f"{_names([tp for tp, _ in rewound])}: {count:,} messages are processed again. No new data is late by it."
        )
        yield Finding("rewind", NOTE, "Rewound", text, min(lag.since for _, lag in rewound))
    ahead = [tp for tp, lag in kafka.partitions.items() if lag.verdict is Verdict.AHEAD]
    if ahead:
        text = (
            f"{_names(ahead)}: the committed offset lies behind the end of the log. The topic was created again, or "
            "the brokers lost its end; a worker that starts now may skip messages."
        )
        since = min(kafka.partitions[tp].since for tp in ahead)
        yield Finding("offset-ahead", PAGE, "Committed offsets lie behind the log's end", text, since)
    lost = {tp: lag.lost for tp, lag in kafka.partitions.items() if lag.lost}
    if lost:
        text = f"{_names(list(lost))}: up to {sum(lost.values()):,} messages left the log before they were indexed."
        yield Finding("retention", PAGE, "Messages were lost to retention", text)
    near = [tp for tp, lag in waiting if _share(kafka, tp, lag) > 0.5]
    if near:
        yield Finding("retention", PAGE, "Lag is near the retention", f"{_names(near)}: more than half of it is used.")


def _stuck(readings: Readings, waiting: list[tuple[TP, PartitionLag]]) -> Iterator[Finding]:
    """One finding for each verdict and holder."""
    groups: dict[tuple[Verdict, str], list[tuple[TP, PartitionLag]]] = {}
    for tp, lag in waiting:
        if lag.verdict in (Verdict.STALL, Verdict.STOP):
            groups.setdefault((lag.verdict, lag.holder or ""), []).append((tp, lag))
    for (verdict, holder), lags in groups.items():
        since = min(lag.since for _, lag in lags)
        names = _names([tp for tp, _ in lags])
        for_ = duration(readings.now - since)
        count = sum(lag.messages for _, lag in lags)
        if verdict is Verdict.STOP:
            text = f"{names} stopped for {for_}: no worker holds {'it' if len(lags) == 1 else 'them'}; {count:,} wait."
            yield Finding("stall", PAGE, f"{names} stopped", text, since, what=f"STOP {holder}")
            continue
        process = _process_of(readings.processes, [tp for tp, _ in lags])
        who = f"worker {process.document.host} (pid {process.document.pid})" if process and process.document else holder
        text = f"{names} stalled for {for_}: {who or 'a worker'} holds {'it' if len(lags) == 1 else 'them'}"
        if process is not None and not process.up:
            text += f" and does not answer ({process.error})"
        text += f"; {count:,} messages wait."
        if process is not None and (problem := _problem(process, since)):
            text += f" Last error: {problem}"
        yield Finding("stall", PAGE, f"{names} stalled", text, since, what=f"STALL {holder}")


def _processes(readings: Readings) -> Iterator[Finding]:
    kafka = readings.kafka.value
    for process in readings.processes:
        document = process.document
        if document is None:
            continue
        role = document.role
        if not process.up and process.silent_since is not None and role in ("worker", "verify"):
            for_s = readings.now - process.silent_since
            held = [TP(*each) for each in document.partitions]
            stuck = kafka is not None and any(
                lag.verdict in (Verdict.STALL, Verdict.STOP) for tp in held if (lag := kafka.partitions.get(tp))
            )
            if for_s < 4 or (not stuck and for_s > SILENT_NOTE_S):
                continue
            text = f"{role.capitalize()} on {document.host} (pid {document.pid}) does not answer for {duration(for_s)}"
            text += f": {process.error}." + (f" It held {len(held)} partitions." if held else "")
            if problem := _problem(process, document.now - 60):
                text += f" Last error: {problem}"
            yield Finding(
                "process-silent",
                PAGE if stuck else NOTE,
                f"A {role} does not answer",
                text,
                process.silent_since,
                what=process.url,
            )
        imbalance = _imbalance(process)
        if imbalance:
            text = f"{document.host} (pid {document.pid}): {imbalance}. Consumed and accounted for differ."
            yield Finding("ledger", PAGE, "The ledger does not balance", text, what=process.url)


def _canary(readings: Readings) -> Iterator[Finding]:
    canary = readings.canary
    if canary.state == "late" and canary.late_s > max(readings.limits.stuck_s, 2 * readings.limits.target_s):
        newest = max((beat for beat in canary.shards if beat is not None), default=-1)
        behind = [n for n, beat in enumerate(canary.shards) if beat is None or beat < newest]
        where = f"on ClickHouse shard {', '.join(map(str, behind))}" if behind else "in ClickHouse"
        text = f"A heartbeat committed in Postgres {duration(canary.late_s)} ago is not {where}."
        yield Finding("canary", PAGE, "The canary is late", text, canary.as_of)
    # A connector that starts again needs a few seconds. One that cannot start is a finding of its own by then.
    silent_s = readings.now - canary.as_of if canary.state == "silent" and canary.as_of is not None else 0.0
    if silent_s > SILENT_S + readings.limits.stuck_s:
        for_ = duration(silent_s)
        text = f"The connector has written no heartbeat for {for_}: nothing proves that new changes come through."
        yield Finding("canary", PAGE, "The canary is silent", text, canary.as_of)


def _rest(readings: Readings) -> Iterator[Finding]:
    kafka = readings.kafka.value
    letters = kafka.dead_letters if kafka is not None else None
    if letters is not None and letters.last_hour:
        reasons = by_label(readings.processes, "scorestream_dead_letters_total", "reason")
        why = ", ".join(f"{name} {count:,.0f}" for name, count in sorted(reasons.items(), key=lambda x: -x[1]) if count)
        text = f"{letters.last_hour:,} messages were refused in the last hour{f' ({why})' if why else ''}; "
        text += f"{letters.open:,} are open. `scorestream dead-letters list` shows them."
        yield Finding("dead-letters", TICKET, "New dead letters", text, letters.newest_at)
    if since := newest(readings.processes, "scorestream_outage_since_timestamp_seconds"):
        text = f"Messages of {duration(readings.now - since)} ago waited longer than compaction keeps every change. "
        text += "A worker compares the tables with Postgres and repairs them once the backlog is gone."
        yield Finding("retention", TICKET, "The outage was longer than the compaction lag", text, since, "outage")
    different = by_label(readings.processes, "scorestream_verify_cells", "result").get("different", 0)
    appeals = total(readings.processes, "scorestream_verify_visible_appeals")
    if different or appeals:
        text = f"The last comparison found {different:,.0f} cells that differ and {appeals:,.0f} visible appeals."
        yield Finding("verify", PAGE, "Verify found differences", text)


def _replays(readings: Readings) -> Iterator[Finding]:
    for each in readings.replays:
        if each.state == "failed":
            text = f"Replay {each.name} has failed: {each.error[:200]}"
            yield Finding("replay-stuck", TICKET, f"Replay {each.name} failed", text, each.moved_at, what=each.name)
            continue
        still_s = readings.now - each.moved_at if each.moved_at is not None else 0.0
        # The first process of a new replay needs some seconds to start.
        deserted = each.state == "stopped" and readings.now - each.created > STALE_S
        if deserted or (each.state == "running" and still_s > REPLAY_STUCK_S):
            for_ = f" for {duration(still_s)}" if still_s else ""
            why = "no process works on it" if not each.processes else each.throttled_by or "its processes do not move"
            text = f"Replay {each.name} does not move{for_}: {why}; {each.done:,} of {each.total:,} done."
            yield Finding("replay-stuck", TICKET, f"Replay {each.name} is stuck", text, each.moved_at, what=each.name)


def _names(tps: list[TP]) -> str:
    ordered = sorted(tps)
    first = f"{short(ordered[0].topic)}-{ordered[0].partition}"
    if len(ordered) == 1:
        return first
    return f"{first} and {len(ordered) - 1} other{'s' if len(ordered) > 2 else ''}"


def _share(kafka: Kafka, tp: TP, lag: PartitionLag) -> float:
    retention = kafka.retention.get(tp.topic)
    if retention is None or not retention.seconds or lag.seconds is None:
        return 0.0
    return lag.seconds / retention.seconds


def _process_of(processes: tuple[Process, ...], tps: list[TP]) -> Process | None:
    """The process that says (or last said) that it holds most of these partitions. One that answers wins."""
    wanted = {(tp.topic, tp.partition) for tp in tps}
    best: tuple[int, bool] = (0, False)
    found = None
    for process in processes:
        if process.document is not None and process.document.role == "worker":
            held = len(wanted & {tuple(each) for each in process.document.partitions})
            if held and (held, process.up) > best:
                best, found = (held, process.up), process
    if found is None:
        workers = [p for p in processes if p.document is not None and p.document.role == "worker"]
        found = workers[0] if len(workers) == 1 else None
    return found


def _last_gone(processes: tuple[Process, ...]) -> str:
    gone = [p for p in processes if not p.up and p.document is not None and p.document.role == "worker"]
    if not gone:
        return ""
    last = max(gone, key=lambda process: process.answered_at or 0.0)
    assert last.document is not None
    problem = last.document.problems[0]["text"] if last.document.problems else ""
    said = f"; its last error: {problem}" if problem else ""
    return f"The last one was on {last.document.host} (pid {last.document.pid}){said}."


def _problem(process: Process, since: float) -> str:
    for each in process.document.problems if process.document is not None else []:
        if each["at"] >= since - 60:
            return str(each["text"])
    return ""


def _imbalance(process: Process) -> str:
    consumed = by_label([process], "scorestream_messages_consumed_total", "topic")
    accounted = by_label([process], "scorestream_messages_outcome_total", "topic")
    wrong = {topic: (n, accounted.get(topic, 0.0)) for topic, n in consumed.items() if n != accounted.get(topic, 0.0)}
    # Two counters are not read at one moment: only a lasting difference is an imbalance.
    if not wrong or len(process.looks) < 3:
        return ""
    earlier = process.looks[-3][1]
    before = Process(process.url, document=earlier)
    was = by_label([before], "scorestream_messages_consumed_total", "topic")
    sums = by_label([before], "scorestream_messages_outcome_total", "topic")
    for topic, (n, m) in wrong.items():
        if was.get(topic, 0.0) - sums.get(topic, 0.0) == n - m:
            return f"{short(topic)}: {n:,.0f} consumed, {m:,.0f} accounted for"
    return ""
