"""Postgres, Debezium, Kafka's log, ClickHouse and the dead-letter topic in memory, as exact as the pipeline can tell.

They implement the pipeline's Protocols. Every call that would leave the process first calls `on_call(name)`. There a
test steps in: it changes Postgres, runs another batch, or raises.
"""

from tests.fakes.clickhouse import FakeClickHouse
from tests.fakes.dead_letters import FakeDeadLetters
from tests.fakes.debezium import FakeDebezium, envelope, iso
from tests.fakes.log import FakeFetched, FakeLog
from tests.fakes.postgres import Change, Commit, FakePostgres, Locked, Transaction
from tests.fakes.rows import APPEAL_TYPES, DAY_US, PRIMARY_KEY, TIMES, OnCall, Row, nothing, row_of

__all__ = [
    "APPEAL_TYPES",
    "DAY_US",
    "PRIMARY_KEY",
    "TIMES",
    "Change",
    "Commit",
    "FakeClickHouse",
    "FakeDeadLetters",
    "FakeDebezium",
    "FakeFetched",
    "FakeLog",
    "FakePostgres",
    "Locked",
    "OnCall",
    "Row",
    "Transaction",
    "envelope",
    "iso",
    "nothing",
    "row_of",
]
