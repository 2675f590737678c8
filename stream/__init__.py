"""Streaming indexer of scorecards and scores: Postgres -> Debezium -> Kafka -> ClickHouse.

The files are the data flow: envelope, ordering, placement, transform, batch, pipeline; adapters (kafka, postgres,
clickhouse, connect) each speak to one outside system; entry points (worker, replay, ...) are the only files that build
clients. See docs/index.md.
"""

__version__ = "0.1.0"
