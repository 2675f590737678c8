"""Debezium's connector: its configuration, and Kafka Connect's REST interface.

Enters: settings and the connector's JSON. Leaves: the configuration to apply, and Connect's answers. It never talks to
Kafka or Postgres.
"""
