"""Replay: messages/s end to end, beside the raw drain of the same topics and ClickHouse's own Kafka engine.

    python -m benchmarks.replay [--scores 2000000] [--growth 500000,2000000,8000000]

Everything runs on the one machine, in one run, on a stack of its own that is removed afterwards. Rows are in Postgres,
the envelopes of their snapshot in Kafka (benchmarks/replay_load.py). Each replay goes into an empty shadow database,
with look-ups, confirm and commits. The rows of the first ones are compared with Postgres, row for row.

Last line: one line of JSON. Exit 1 when ClickHouse is not equal to Postgres afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.common import RESULTS, machine, say
from benchmarks.replay_load import CUSTOMERS, Load, load
from devstack.stack import Stack
from stream.clickhouse.shards import connect
from stream.config import Settings
from stream.config import load as settings_of
from stream.kafka.broker import Broker
from stream.kafka.topics import ensure_topics
from stream.retry import Retrier
from stream.settings_sections import RetrySettings

SCORESTREAM = [sys.executable, "-m", "stream.cli", "--log-level", "warning"]
SEED_ROWS_PER_S = 3_300  # of the batch workflow that this replaces
TABLES = ("scorecards", "scores")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=int, default=2_000_000, help="(default: 2000000)")
    parser.add_argument("--growth", default="500000,2000000,8000000", help="rows that are there before; '' = leave out")
    parser.add_argument("--dir", type=Path, default=Path(".devstack-bench"), help="folder of the stack")
    parser.add_argument("--keep", action="store_true", help="leave the stack and its data running")
    options = parser.parse_args()
    stack = Stack(options.dir, say=say)
    stack.up(["postgres", "kafka", "clickhouse"])
    try:
        env = {name: value for name, value in os.environ.items() if not name.startswith("SCORESTREAM_")} | stack.env()
        os.environ.update(stack.env())
        return bench(settings_of(), env, options)
    finally:
        if not options.keep:
            stack.clean()


def bench(settings: Settings, env: dict[str, str], options: argparse.Namespace) -> int:
    """Exit code; prints and keeps the result."""
    ensure_topics(Broker(settings.kafka, settings.topics))
    loaded = _load(settings, env, options.scores)
    say(f"{loaded.messages:,} messages, loaded in {loaded.took_s:.0f} s")
    raw = _raw_drain(settings, loaded.messages)
    # With a full queue librdkafka waits a second, and how often that happens is luck. So both the usual figure and the
    # best count.
    eager = _raw_drain(settings, loaded.messages, **{"fetch.queue.backoff.ms": 10})
    say(f"raw drain, one librdkafka consumer in Python: {raw:,.0f}/s; {eager:,.0f}/s when it never waits for its queue")
    engine = _kafka_engine(settings, loaded.scores)
    plain = _kafka_engine(settings, loaded.scores, "plain")
    say(f"ClickHouse's Kafka engine: {engine:,.0f}/s with two consumers, {plain:,.0f}/s as it comes")
    own = uuid.uuid4().hex[:6]  # with --keep an earlier run may have left some
    runs: dict[str, dict[str, Any]] = {}
    for name, choices in (
        ("1p", ["--processes", "1"]),
        ("2p", ["--processes", "2"]),
        ("filtered", ["--processes", "2", "--customer", CUSTOMERS[3]]),
    ):
        _wait_for_merges(settings)
        runs[name] = _replay(env, f"bench-{own}-{name}", f"bench_{own}_{name}", choices)
        say(f"replay {name}: {_per_s(runs[name]):,.0f}/s, {runs[name]['rss_mb_max']:.0f} MB")
    clean = all(_verify(env, f"bench_{own}_{name}") for name in ("1p", "2p"))
    say("verify: " + ("all equal" if clean else "DIFFERENT"))
    for name in runs:
        _drop(settings, f"bench_{own}_{name}")
    growth = {}
    for rows in [int(text) for text in options.growth.split(",") if text]:
        database = f"bench_{own}_growth_{rows}"
        subprocess.run([*SCORESTREAM, "schema", "apply", "--database", database], env=env, check=True, stdout=2)
        _fill(settings, database, rows)
        run = _replay(env, f"bench-{own}-growth-{rows}", database, ["--processes", "2"], filled=True)
        growth[str(rows)] = round(_per_s(run))
        runs[f"growth_{rows}"] = run
        say(f"replay with {rows:,} rows there before: {growth[str(rows)]:,}/s")
        _drop(settings, database)
    result = {
        "bench": "replay",
        "raw_drain_per_s": round(raw),
        "kafka_engine_per_s": round(plain),
        "replay_1p_per_s": round(_per_s(runs["1p"])),
        "replay_2p_per_s": round(_per_s(runs["2p"])),
        "filtered_per_s": round(_per_s(runs["filtered"])),
        "growth": growth,
        "rss_mb_max": round(max(run["rss_mb_max"] for run in runs.values())),
    }
    detail = {
        "messages": loaded.messages,
        "seed_rows_per_s": SEED_ROWS_PER_S,
        "verified": clean,
        "raw_drain_without_waits_per_s": round(eager),
        "kafka_engine_2_consumers_per_s": round(engine),
        "with_start_per_s": {name: round(loaded.messages / run["command_s"]) for name, run in runs.items()},
        "rss_mb": {name: run["rss_mb_max"] for name, run in runs.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    kept = json.dumps(result | {"detail": detail, "machine": machine()}, indent=2)
    (RESULTS / "replay.json").write_text(kept + "\n", "utf-8")
    say(f"the batch workflow before: {SEED_ROWS_PER_S:,} rows/s")
    print(json.dumps(result), flush=True)
    return 0 if clean else 1


def _load(settings: Settings, env: dict[str, str], scores: int) -> Load:
    lag = Broker(settings.kafka, settings.topics)
    # Topics that were made this very moment have no leader yet.
    retry = Retrier(RetrySettings(give_up_s=30), stopping=threading.Event())
    try:
        ends = retry(lambda: lag.ends(lag.partitions(settings.topics.of(table) for table in TABLES)))
    finally:
        lag.close()
    if total := sum(ends.values()):
        held = sum(end for tp, end in ends.items() if tp.topic.endswith(".scores"))
        say(f"{total:,} messages are there from before")
        return Load(total - held, held, 0.0)
    return load(
        env["DEVSTACK_POSTGRES_URL"],
        settings.kafka.bootstrap_servers,
        prefix=settings.kafka.topic_prefix,
        scores=scores,
        partitions=settings.kafka.partitions,
    )


def _raw_drain(settings: Settings, messages: int, **options: Any) -> float:
    """Every message consumed and its value taken; nothing else. Messages/s."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": f"raw-{uuid.uuid4().hex[:8]}",
            "enable.auto.commit": False,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": 131_072,
            **options,
        }
    )
    tps = [
        TopicPartition(settings.topics.of(table), partition, 0)
        for table in TABLES
        for partition in range(settings.kafka.partitions)
    ]
    began = time.monotonic()
    consumer.assign(tps)
    seen = 0
    while seen < messages:
        seen += len([message.value() for message in consumer.consume(20_000, 1.0)])
    took = time.monotonic() - began
    consumer.close()
    return seen / took


def _kafka_engine(settings: Settings, messages: int, *choices: str) -> float:
    folder = tempfile.mkdtemp(prefix="kafka-engine-")
    command = [sys.executable, "-m", "benchmarks.kafka_engine", settings.kafka.bootstrap_servers]
    command += [settings.topics.of("scores"), str(messages), folder, *choices]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=700)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        say(done.stderr[-2000:])
        return 0.0
    return float(done.stdout.strip().splitlines()[-1])


def _replay(
    env: dict[str, str], name: str, database: str, choices: list[str], *, filled: bool = False
) -> dict[str, Any]:
    """Run a replay into a shadow (or, when that has rows, with it as the live database); returns its `--json`."""
    into = [] if filled else ["--into", database]
    own = env | {"SCORESTREAM_CLICKHOUSE_DATABASE": database} if filled else env
    began = time.monotonic()
    done = subprocess.run(
        [*SCORESTREAM, "replay", "start", name, *into, *choices, "--json"],
        env=own,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    facts: dict[str, Any] = json.loads(done.stdout)
    facts["command_s"] = time.monotonic() - began
    return facts


def _per_s(run: dict[str, Any]) -> float:
    """From the beginning of the first process to the end of the last, without the start of the interpreters."""
    return float((run["reindexed"] + run["failed"]) / run["seconds"])


def _verify(env: dict[str, str], database: str) -> bool:
    done = subprocess.run(
        [*SCORESTREAM, "verify", "--no-wait", "--database", database, "--json"],
        env=env,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.returncode == 0


def _fill(settings: Settings, database: str, rows: int) -> None:
    """Rows of other scorecards, spread over the same customers and months, and merged as far as in daily use."""
    shards = len(settings.clickhouse.shards)
    for shard in range(shards):
        client = connect(settings.clickhouse, shard, database="")
        client.command(
            f"INSERT INTO {database}.score (customer_id, scorecard_id, event_time, is_process, score_id, criterion_id, "
            "numeric_value, comment, not_applicable, updated_at, _version) "
            "SELECT concat('customer-', toString(number % 10)), generateUUIDv4(intDiv(number, 9)), "
            "toDateTime64('2026-09-01', 6, 'UTC') + (number % 60) * 86400, false, generateUUIDv4(number), "
            "generateUUIDv4(number % 40), 3.5, 'greeting and closing as agreed', false, now64(6), 1 "
            f"FROM numbers({rows // shards})"
        )
        client.close()
    _wait_for_merges(settings)


def _wait_for_merges(settings: Settings) -> None:
    """Wait for merges. Otherwise the replay would be measured together with those of older rows."""
    for shard in range(len(settings.clickhouse.shards)):
        client = connect(settings.clickhouse, shard, database="")
        deadline = time.monotonic() + 120
        while client.query("SELECT count() FROM system.merges").result_rows[0][0] and time.monotonic() < deadline:
            time.sleep(0.2)
        client.close()


def _drop(settings: Settings, database: str) -> None:
    for shard in range(len(settings.clickhouse.shards)):
        client = connect(settings.clickhouse, shard, database="")
        client.command(f"DROP DATABASE IF EXISTS {database} SYNC")
        client.close()


if __name__ == "__main__":
    sys.exit(main())
