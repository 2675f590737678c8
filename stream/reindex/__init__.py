"""Chosen scorecards again, as Postgres has them now: the command `reindex`, and the calls of verify's repair and purge.

Enters: scorecard ids, or a filter. Leaves: their rows, and delete markers where rows must no longer stand. It reads no
Kafka message and moves no offset.
"""
