"""Chosen scorecards again, as Postgres has them now: the command `reindex`, and what verify's repair and purge call.

Enters: scorecard ids, or a filter. Leaves: their rows, and delete markers where rows must no longer stand. It reads no
Kafka message and moves no offset.
"""
