"""Every exception of the package; its base says what the caller does.

ScorestreamError
├── Retry                       try the same thing again, with backoff
│   ├── PostgresUnavailable
│   │   └── PostgresTimeout     Postgres answers, and a statement took longer than its limit
│   ├── ClickHouseUnavailable
│   └── KafkaUnavailable
├── Refused                     this message goes to the dead letters, its neighbours go on
└── Stop                        end the process with a non-zero exit and one clear line
    ├── ConfigError             the configuration is wrong (exit 2)
    ├── UsageError              the command asks for something impossible (exit 2)
    ├── WriteMismatch           ClickHouse acknowledged other than what was sent
    ├── LedgerImbalance         a message is in no column of the ledger, or in two
    ├── TooManyDeadLetters      a worker must not drain a topic into the dead letters
    ├── PostgresRefused         the source lacks a table, a column, a privilege, or WAL
    ├── ClickHouseRefused       a shard refused a statement that a later try will not change
    ├── Stalled                 messages wait and nothing moves: the watchdog ends the worker
    ├── CredentialsRotated      Kafka's secrets changed: the worker's next start reads them
    └── ConnectError            Kafka Connect refused a request
"""

from __future__ import annotations


class ScorestreamError(Exception):
    """Base of all errors that the package raises on purpose; an operator can read its text."""


class Retry(ScorestreamError):
    """An outside system is away for the moment."""


class PostgresUnavailable(Retry):
    """Postgres refused or dropped the connection, or cancelled the statement."""


class PostgresTimeout(PostgresUnavailable):
    """A statement took longer than statement_timeout or lock_timeout: a lock, or a slow server. The server answers."""


class ClickHouseUnavailable(Retry):
    """A shard cannot be reached, is overloaded ("too many parts"), or timed out."""


class KafkaUnavailable(Retry):
    """The broker did not answer, or the produce was not acknowledged in time."""


class Refused(ScorestreamError):
    """A message that cannot be indexed as it is.

    `reason` is one of a few fixed words, because it becomes a metric label.
    """

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(f"{reason}: {error}")
        self.reason = reason
        self.error = error


class Stop(ScorestreamError):
    """The process cannot go on, and ends with `exit_code`."""

    exit_code = 1


class ConfigError(Stop):
    """One or more settings are missing or wrong; the text lists every fault."""

    exit_code = 2


class UsageError(Stop):
    """The command asks for something impossible; the text names the way out."""

    exit_code = 2


class WriteMismatch(Stop):
    """ClickHouse's written_rows differs from the rows that were sent."""


class LedgerImbalance(Stop):
    """consumed != the sum of all outcomes for a topic and partition."""


class TooManyDeadLetters(Stop):
    """The share of refused messages is above the configured limit."""


class Stalled(Stop):
    """No progress for longer than the limit with messages waiting; the log holds what the watchdog saw."""


class CredentialsRotated(Stop):
    """Kafka's secret files or certificates are others than at the start."""


class ConnectError(Stop):
    """Kafka Connect answered with an error; the text quotes it."""


class PostgresRefused(Stop):
    """Postgres refused a statement, or is not as it should be; the text quotes its answer."""


class ClickHouseRefused(Stop):
    """ClickHouse refused a statement; the text quotes its answer."""
