"""The end of a drill: Postgres and ClickHouse row for row, by finding, and the lag of the group."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from testbed import oracle
from testbed.universe import Universe

FINDINGS = ("missing", "extra", "stale", "duplicates", "appeals", "windows")
_KEY = {"scorecard_current": 1, "score_current": 4}  # position of the primary key in the oracle's rows


def compare(universe: Universe) -> tuple[dict[str, int], list[str]]:
    """Counts by finding, and examples: (finding, view, key)."""
    with universe.postgres() as connection:
        connection.execute("SET default_transaction_isolation = 'repeatable read'")
        with connection.transaction():
            want = oracle.expected(connection)
            appeals = {
                row[0]
                for row in connection.execute("SELECT scorecard_id::text FROM app.scorecards WHERE scorecard_type > 0")
            }
    have = oracle.visible(universe.env, universe.name)
    counts = dict.fromkeys(FINDINGS, 0)
    examples: list[str] = []
    for view, rows in want.items():
        for finding, keys in _differ(rows, have[view], _KEY[view]).items():
            counts[finding] += len(keys)
            examples += [f"{finding} {view} {key}" for key in sorted(keys)[:5]]
        shown = {row[1] for row in have[view]} & appeals
        counts["appeals"] += len(shown)
        examples += [f"appeals {view} {key}" for key in sorted(shown)[:5]]
    in_windows = oracle.differences_in_windows(want, universe.env, universe.name, choices=random.Random(7), count=6)
    counts["windows"] = len(in_windows)
    return counts, examples + in_windows[:5]


def _differ(want: Counter[Any], have: Counter[Any], at: int) -> dict[str, set[str]]:
    wanted, shown = {row[at] for row in want}, {row[at] for row in have}
    visible = Counter(row[at] for row in have.elements())
    return {
        "missing": wanted - shown,
        "extra": shown - wanted,
        "stale": {row[at] for row in want - have} & shown,
        "duplicates": {key for key, times in visible.items() if times > 1},
    }


def lag(universe: Universe, *, group: str | None = None) -> int:
    """Offsets of all topics of changes that a group (the live one) has not committed; read-committed ends."""
    env = universe.env
    servers = {"bootstrap.servers": env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"], "log_level": 2}
    group = group or env["SCORESTREAM_KAFKA_GROUP"]
    admin = AdminClient(servers)
    topics = admin.list_topics(timeout=10).topics
    tps = [
        TopicPartition(name, partition)
        for name, topic in topics.items()
        if name.startswith(f"{universe.name}.app.") and "scorestream_" not in name
        for partition in topic.partitions
    ]
    # It never subscribes, so it does not join the group.
    reader = Consumer({**servers, "group.id": group, "isolation.level": "read_committed", "enable.auto.commit": False})
    try:
        committed = {(tp.topic, tp.partition): tp.offset for tp in reader.committed(tps, timeout=20)}
        behind = 0
        for tp in tps:
            low, high = reader.get_watermark_offsets(tp, timeout=10)
            behind += high - max(low, committed.get((tp.topic, tp.partition), 0))
        return behind
    finally:
        reader.close()


def dead_letters(universe: Universe) -> int:
    """Messages in the dead-letter topic."""
    servers = {"bootstrap.servers": universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"], "log_level": 2}
    topic = f"{universe.name}.dead-letters"
    reader = Consumer({**servers, "group.id": f"{universe.name}-drill"})
    try:
        found = reader.list_topics(topic, timeout=10).topics[topic]
        if found.error is not None:
            return 0
        marks = [reader.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in found.partitions]
        return sum(high - low for low, high in marks)
    finally:
        reader.close()
