"""The end of a drill: Postgres and ClickHouse row for row, by finding, and the lag of the group."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, TopicPartition

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


Ends = dict[tuple[str, int], int]  # (topic, partition) -> offset


def lag(universe: Universe, *, group: str | None = None, until: Ends | None = None) -> int:
    """Offsets of all topics of changes, up to `until` or their ends, that a group (the live one) has not committed."""
    # It never subscribes, so it does not join the group.
    with closing(_reader(universe, group or universe.env["SCORESTREAM_KAFKA_GROUP"])) as reader:
        tps = _changes(universe, reader)
        committed = {(tp.topic, tp.partition): tp.offset for tp in reader.committed(tps, timeout=20)}
        behind = 0
        for tp in tps:
            low, high = reader.get_watermark_offsets(tp, timeout=10)
            end = high if until is None else until.get((tp.topic, tp.partition), 0)
            behind += max(0, end - max(low, committed.get((tp.topic, tp.partition), 0)))
        return behind


def ends(universe: Universe) -> Ends:
    """Read-committed ends of all topics of changes."""
    with closing(_reader(universe, f"{universe.name}-drill")) as reader:
        tps = _changes(universe, reader)
        return {(tp.topic, tp.partition): reader.get_watermark_offsets(tp, timeout=10)[1] for tp in tps}


def _reader(universe: Universe, group: str) -> Consumer:
    servers = universe.env["SCORESTREAM_KAFKA_BOOTSTRAP_SERVERS"]
    return Consumer(
        {
            "bootstrap.servers": servers,
            "log_level": 2,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )


def _changes(universe: Universe, reader: Consumer) -> list[TopicPartition]:
    return [
        TopicPartition(name, partition)
        for name, topic in reader.list_topics(timeout=10).topics.items()
        if name.startswith(f"{universe.name}.app.") and "scorestream_" not in name
        for partition in topic.partitions
    ]


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
