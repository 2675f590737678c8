"""The local stack without Docker: Postgres, Kafka, Kafka Connect with Debezium, and ClickHouse's engine over HTTP.

`python -m devstack up` for people, `devstack.stack.Stack` for tests and drills. No part of the product imports it.
"""
