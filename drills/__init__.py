"""Fault drills: a writer commits all kinds of changes while parts of a real stack are killed, paused and cut off.

`python -m drills --help`. At the end Postgres and ClickHouse are compared row for row.
"""
