"""Plugin, connector, tasks, config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from stream.connect.rest import ConnectorStatus, Fault, Task
from stream.doctor import connect
from stream.doctor.finding import RECOVER, DoctorFinding

PLUGIN = "io.debezium.connector.postgresql.PostgresConnector"
WANTED = {"connector.class": PLUGIN, "slot.name": "qa", "database.password": "${env:SCORESTREAM_CDC_PASSWORD}"}
RUNNING = ConnectorStatus("qa", "RUNNING", "w1:8083", (Task(0, "RUNNING", "w1:8083"),))
TRACE = "org.apache.kafka.connect.errors.ConnectException: outer\n\tat x\nCaused by: java.sql.SQLException: no slot"


@dataclass
class Client:
    """A Connect cluster on which the connector runs."""

    version: str = "3.7.0.Final"
    status_: ConnectorStatus | None = RUNNING
    held: dict[str, str] | None = field(default_factory=lambda: WANTED | {"name": "qa"})
    faults: list[Fault] = field(default_factory=list)

    def plugins(self) -> dict[str, str]:
        return {PLUGIN: self.version} if self.version else {}

    def config(self, name: str) -> dict[str, str] | None:
        return self.held

    def validate(self, config: Mapping[str, str], *, name: str) -> list[Fault]:
        return self.faults

    def status(self, name: str) -> ConnectorStatus | None:
        return self.status_


def found(client: Client) -> list[DoctorFinding]:
    return list(connect.examine(client, "qa", WANTED))


def test_a_connector_that_runs_by_the_settings_has_no_finding() -> None:
    assert found(Client()) == []


@pytest.mark.parametrize(
    ("client", "check", "what", "way_out"),
    [
        (Client(version=""), "connect-plugin", f"no plugin {PLUGIN}", "install Debezium"),
        (Client(version="3.6.3.Final"), "connect-plugin", "Debezium is 3.6.3.Final", "install Debezium 3.7"),
        (Client(status_=None, held=None), "connector-missing", "no connector qa", RECOVER),
        (
            Client(status_=replace(RUNNING, tasks=(Task(0, "FAILED", "w1", TRACE),))),
            "connector-failed",
            "task 0: java.sql.SQLException: no slot",
            "scorestream connectors restart",
        ),
        (
            Client(status_=replace(RUNNING, state="PAUSED", tasks=(Task(0, "PAUSED", "w1"),))),
            "connector-paused",
            "is PAUSED",
            "scorestream connectors resume",
        ),
        (Client(status_=replace(RUNNING, state="STOPPED", tasks=())), "connector-paused", "is STOPPED", "resume"),
        (Client(status_=replace(RUNNING, tasks=())), "connector-task", "there is no task", "scheduled.rebalance"),
        (
            Client(status_=replace(RUNNING, tasks=(Task(0, "UNASSIGNED", ""),))),
            "connector-task",
            "task 0 is UNASSIGNED",
            "scheduled.rebalance.max.delay.ms=0",
        ),
        (
            Client(held=WANTED | {"name": "qa", "slot.name": "other", "database.password": "hunter2"}),
            "connector-config",
            "2 keys differ: database.password: (hidden) -> ${env:SCORESTREAM_CDC_PASSWORD}; slot.name: other -> qa",
            "scorestream connectors apply",
        ),
        (
            Client(faults=[Fault("database.password", "${env:SCORESTREAM_CDC_PASSWORD}", ("no login",))]),
            "connector-invalid",
            "database.password = ${env:SCORESTREAM_CDC_PASSWORD}: no login",
            "environment of every Connect worker",
        ),
        (
            Client(faults=[Fault("exactly.once.support", "required", ("This worker does not have it",))]),
            "connector-invalid",
            "exactly.once.support",
            "exactly.once.source.support=enabled",
        ),
        (
            Client(faults=[Fault("snapshot.mode", "x", ("is invalid",))]),
            "connector-invalid",
            "snapshot.mode = x",
            "correct snapshot.mode",
        ),
    ],
)
def test_a_fault_of_the_connector(client: Client, check: str, what: str, way_out: str) -> None:
    (finding,) = found(client)
    assert finding.id == check
    assert what in finding.what
    assert way_out in finding.way_out


@pytest.mark.parametrize(
    ("cause", "way_out"),
    [
        ("RecordTooLargeException: The message is 41943189 bytes when serialized", "scorestream connectors apply"),
        ("DateTimeParseException: Text '00:00:00+15:59:59' could not be parsed", "pg_drop_replication_slot"),
        ("ConnectException: .. Reconfigure the connector to use a snapshot mode when needed", RECOVER),
        ('PSQLException: ERROR: can no longer access replication slot "qa": it is lost', RECOVER),
        ('PSQLException: ERROR: replication slot "qa" is active for PID 4711', "pg_terminate_backend"),
        ("PSQLException: ERROR: permission denied for table scores", "scorestream doctor --only postgres"),
        ("ConnectException: an exception occurred in the change event producer", "scorestream connectors restart"),
    ],
)
def test_a_cause_that_a_restart_meets_again_has_its_own_way_out(cause: str, way_out: str) -> None:
    failed = replace(RUNNING, tasks=(Task(0, "FAILED", "w1", f"a.B: outer\nCaused by: {cause}"),))
    (finding,) = found(Client(status_=failed))
    assert way_out in finding.way_out
