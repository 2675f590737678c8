"""History that the log never had: windows of Postgres, read by Debezium's incremental snapshots, one after another.

Enters: windows, customers, tables. Leaves: signals in Postgres, and progress from Debezium's notifications. It writes
no row to ClickHouse: the rows come through Kafka like every other change.
"""
