"""How late the path is, since when, and because of what.

Enters: what the sources answer. Leaves: findings, a document for the page and the terminal, metrics. It writes nothing
into Kafka, Postgres or ClickHouse; only the worker's canary (heartbeat.py) writes heartbeats to the shards.
"""
