"""The peer: ClickHouse's own Kafka engine and a materialized view, over the same topic, in a process of its own.

    python -m benchmarks.kafka_engine <bootstrap servers> <topic> <messages> <folder> [plain]

It has no look-up, no filter and no order of changes: it only decodes and inserts, into our own table of scores.
Constants stand for the results of a look-up. It runs one consumer for each CPU; `plain`: one, the engine's default. It
prints the messages/s from the first row to the last.
"""

from __future__ import annotations

import sys
import time
import uuid

from chdb import session

from stream.clickhouse.schema.apply import statements

_AFTER = (
    "Tuple(score_id UUID, scorecard_id UUID, criterion_id UUID, numeric_value Nullable(Float64), "
    "ai_value Nullable(Float64), not_applicable Bool, comment Nullable(String), updated_at String)"
)
_TUNED = ", kafka_num_consumers = 2, kafka_thread_per_consumer = 1, kafka_max_block_size = 65536"


def main() -> None:
    servers, topic, messages, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    tuned = "" if sys.argv[5:] == ["plain"] else _TUNED
    engine = session.Session(folder)

    def ask(query: str) -> str:
        return str(engine.query(query, "TSV")).strip()

    for statement in statements("peer"):
        ask(statement)
    try:
        ask(
            f"CREATE TABLE peer.queue (value String) ENGINE = Kafka SETTINGS kafka_broker_list = '{servers}', "
            f"kafka_topic_list = '{topic}', kafka_group_name = 'peer-{uuid.uuid4().hex[:8]}', "
            f"kafka_format = 'JSONAsString'{tuned}"
        )
    except RuntimeError:  # code 49, although the table is made and consumes
        if ask("EXISTS TABLE peer.queue") != "1":
            raise
    ask(
        "CREATE MATERIALIZED VIEW peer.flow TO peer.score AS SELECT 'customer' AS customer_id, a.2 AS scorecard_id, "
        "updated_at AS event_time, false AS is_process, a.1 AS score_id, a.3 AS criterion_id, a.4 AS numeric_value, "
        "a.5 AS ai_value, a.6 AS not_applicable, a.7 AS comment, "
        "parseDateTime64BestEffort(a.8, 6, 'UTC') AS updated_at, JSONExtractUInt(value, 'source', 'lsn') AS _version "
        f"FROM (SELECT value, JSONExtract(value, 'after', '{_AFTER}') AS a FROM peer.queue)"
    )
    began = first = time.monotonic()
    seen = 0
    while seen < messages and time.monotonic() - began < 600:
        time.sleep(0.05)
        count = int(ask("SELECT count() FROM peer.score") or 0)
        if count and not seen:
            first = time.monotonic()
            at_first = count
        seen = count
    print(round((seen - at_first) / (time.monotonic() - first)) if seen >= messages else 0, flush=True)


if __name__ == "__main__":
    main()
