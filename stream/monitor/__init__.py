"""How late the path is, since when, and for which reason.

Enters: the sources' answers. Leaves: findings, a document for the page and the terminal, metrics. It never writes
into Kafka, Postgres or ClickHouse.
"""
