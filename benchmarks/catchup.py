"""Live catch-up: a worker that was away comes back to 500,000 messages. Beside it, Faust's own rate.

    python -m benchmarks.catchup [--messages 500000]

1. Rows are loaded and indexed, and the worker stops.

2. Inserts and updates pile up in the topics until they have that many messages.

3. The worker starts again. The rate counts from the moment the group has its partitions to the last row's time of
   storage in ClickHouse. That time is read once all offsets are committed. No figure is the worker's own account. CPU
   time is counted by part, until the last offset is committed.

4. A Faust agent that does nothing reads the same topic, by record batches and by single messages.

Last line: one line of JSON. Exit 1 when the two stores differ afterwards.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from typing import Any

import psycopg

from benchmarks.common import Group, Offsets, arguments, last_stored, publish, run
from benchmarks.cpu import CpuReading
from benchmarks.faust_rates import faust_rates
from stream.tables import SCORE
from testbed.indexed import index, settle
from testbed.rig import Rig
from testbed.screen import Screen
from testbed.traffic import workload
from testbed.traffic.customers import IDS
from testbed.visibility import counts

CHUNK = 20_000  # rows of one bulk update


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--messages", type=int, default=500_000, help="that gather (default: 500000)")
    return run("catchup", bench, parser.parse_args())


def bench(options: argparse.Namespace) -> int:
    """Exit code; prints and keeps the result."""
    screen = Screen(to_stderr=True)
    seed = secrets.randbelow(1 << 31)
    with Rig(options.dir, say=screen.say) as rig:
        rig.scorestream("schema", "apply")
        with counts.Visible(rig.settings.clickhouse) as visible:
            index(rig, screen, visible, seed=seed, scale=options.scale)
            rig.stop_worker()
            group = Group(rig.settings)
            try:
                caught_up = _catch_up(options, screen, rig, group, visible, seed)
            finally:
                group.close()
        comparisons = settle(rig, screen)
        different = sum(each.different_rows for each in comparisons)
        rig.stop_worker()
        screen.say("Faust agents that do nothing, over the scores' topic")
        raw = faust_rates(
            rig.settings.kafka.bootstrap_servers,
            rig.settings.topics.of(SCORE.source),
            # the gathered messages, and the initial rows before them
            batches=min(500_000, caught_up["scores_in_topic"]),
            single=min(40_000, caught_up["scores_in_topic"]),
        )
        result = {
            "bench": "catchup",
            "messages_per_s": caught_up["messages_per_s"],
            "faust_batches_per_s": raw["batches_per_s"],
            "faust_single_per_s": raw["single_per_s"],
        }
        detail = caught_up | {
            "rows_that_differ_afterwards": different,
            "rows_compared": sum(sum(each.clickhouse.values()) for each in comparisons),
            "faust": raw,
        }
        publish(result, detail=detail, rig=rig)
    return 1 if different else 0


def _catch_up(
    options: argparse.Namespace, screen: Screen, rig: Rig, group: Group, visible: counts.Visible, seed: int
) -> dict[str, Any]:
    start = group.committed()
    begun = time.monotonic()
    with rig.postgres() as connection:
        changes = _gather(connection, options.messages, scale=options.scale, seed=seed + 1)
    screen.say(f"{changes:,} row changes committed in {time.monotonic() - begun:.1f} s; waiting for them in Kafka")
    end = _wait_still(rig, group, at_least=sum(start.values()) + changes)
    in_kafka_s = time.monotonic() - begun
    messages, size, done = group.read(start, end)
    screen.say(f"{messages:,} messages, {size / messages:.0f} bytes each, {in_kafka_s:.1f} s after the first change")
    stored_before = visible.now()
    started = time.time()
    rig.start_worker()
    rig.wait_until(group.assigned, what="the worker has its partitions", timeout_s=60, every_s=0.05)
    assigned, cpu_before = time.time(), CpuReading.of(rig)
    rss: list[float] = []
    with screen.bar("catching up", messages, "messages") as bar:

        def is_done() -> bool:
            now = group.committed()
            rss.append(rig.worker_rss_mb())
            left = sum(max(0, done[tp] - now[tp]) for tp in done)
            bar.update(max(0, messages - left))
            return not left

        rig.wait_until(is_done, what="all offsets are committed", timeout_s=300, every_s=0.25)
    committed, cpu_after = time.time(), CpuReading.of(rig)
    last = last_stored(rig.settings.clickhouse, stored_before)
    screen.say(
        f"{messages:,} messages in {last - assigned:.1f} s ({last - started:.1f} s with the start of the process)"
    )
    scores = rig.settings.topics.of(SCORE.source)
    return {
        "messages": messages,
        "bytes_each": round(size / messages),
        "messages_per_s": round(messages / (last - assigned)),
        "messages_per_s_until_committed": round(messages / (committed - assigned)),
        "messages_per_s_with_start": round(messages / (last - started)),
        "seconds": round(last - assigned, 2),
        "start_s": round(assigned - started, 2),
        "cpu_us_per_message_by_part": cpu_after.us_per_change(cpu_before, messages),
        "rss_mb_max": round(max(rss, default=0), 1),
        "scores_in_topic": group.read({tp: 0 for tp in end if tp[0] == scores}, _only(end, scores))[0],
    }


def _only(offsets: Offsets, topic: str) -> Offsets:
    return {tp: offset for tp, offset in offsets.items() if tp[0] == topic}


def _gather(connection: psycopg.Connection[Any], messages: int, *, scale: float, seed: int) -> int:
    """Commit row changes: a fifth are inserts, the rest updates, nine of scores for each of a scorecard."""
    work = workload.load(connection, seed=seed, scale=max(0.01, 0.2 * messages / 262_000))
    done = sum(count for table, count in work.rows.items() if table != "scorecard_templates")
    while done < messages:
        for statement in (
            "UPDATE app.scores SET numeric_value = round(random() * 20) / 4, ai_value = random(), updated_at = now() "
            "WHERE score_id IN (SELECT score_id FROM app.scores JOIN app.scorecards USING (scorecard_id) "
            "WHERE customer_id = ANY(%s) ORDER BY scores.updated_at LIMIT %s)",
            "UPDATE app.scorecards SET score = random() * 100, updated_at = now() WHERE scorecard_id IN "
            "(SELECT scorecard_id FROM app.scorecards WHERE customer_id = ANY(%s) ORDER BY updated_at LIMIT %s)",
        ):
            share = CHUNK if "app.scores SET" in statement else CHUNK // 9
            if (limit := min(share, messages - done)) > 0:
                done += connection.execute(statement.encode(), [list(IDS), limit]).rowcount
    return done


def _wait_still(rig: Rig, group: Group, *, at_least: int) -> Offsets:
    """The end offsets, once they are far enough and have not moved for two seconds."""
    held: tuple[Offsets, float] = ({}, 0.0)

    def still() -> bool:
        nonlocal held
        now = group.ends()
        if now != held[0]:
            held = (now, time.monotonic())
        return sum(now.values()) >= at_least and time.monotonic() - held[1] > 2

    rig.wait_until(still, what="all changes are in Kafka", timeout_s=240, every_s=0.5)
    return held[0]


if __name__ == "__main__":
    sys.exit(main())
