"""How late the path is, since when, and for which reason.

Enters: the sources' answers. Leaves: findings, a document for the page and the terminal, metrics. It writes nothing
into Kafka, Postgres or ClickHouse; only the worker's canary (heartbeat.py) writes heartbeats to the shards.
"""
