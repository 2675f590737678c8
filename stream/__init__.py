"""Streaming indexer of scorecards and scores: Postgres -> Debezium -> Kafka -> ClickHouse.

The folders are the data flow; each one's `__init__.py` says what enters, what leaves, and what the folder never does.
`postgres`, `clickhouse`, `kafka` and `connect` each speak to one outside system. The commands and entry points open
these stores and hand them down. See docs/index.md.
"""

__version__ = "0.2.0"
